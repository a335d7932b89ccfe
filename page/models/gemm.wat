;; The arithmetic of the networks, on float32 numbers in this module's memory. gemm.js lays the
;; memory out and has this file's bytes; addresses, and sizes where it says so, are in bytes. Read
;; "product", then $four_rows, where nearly all of V's time goes.
(module
  (memory (export "memory") 1)

  ;; Four rows times one panel of eight columns. Eight sums of four numbers each stay in registers,
  ;; of which x86-64 has sixteen; so every number that is read is used eight or four times.
  (func $four_rows
    (param $a i32)        ;; the first row of the left matrix; the others follow it
    (param $row i32)      ;; bytes of a row of it
    (param $panel i32)    ;; eight numbers for each number of such a row
    (param $bias i32)     ;; eight numbers to begin the sums with
    (param $c i32)        ;; where the first row's eight sums go
    (param $c_row i32)    ;; bytes of a row there
    (param $floor v128)   ;; sums below it become it
    (local $a1 i32) (local $a2 i32) (local $a3 i32) (local $end i32)
    (local $x v128) (local $left v128) (local $right v128)
    (local $s00 v128) (local $s01 v128) (local $s10 v128) (local $s11 v128)
    (local $s20 v128) (local $s21 v128) (local $s30 v128) (local $s31 v128)
    (local.set $a1 (i32.add (local.get $a) (local.get $row)))
    (local.set $a2 (i32.add (local.get $a1) (local.get $row)))
    (local.set $a3 (i32.add (local.get $a2) (local.get $row)))
    (local.set $end (local.get $a1))
    (local.set $s00 (v128.load (local.get $bias)))
    (local.set $s01 (v128.load offset=16 (local.get $bias)))
    (local.set $s10 (local.get $s00)) (local.set $s11 (local.get $s01))
    (local.set $s20 (local.get $s00)) (local.set $s21 (local.get $s01))
    (local.set $s30 (local.get $s00)) (local.set $s31 (local.get $s01))
    (loop $next
      (local.set $left (v128.load (local.get $panel)))
      (local.set $right (v128.load offset=16 (local.get $panel)))
      (local.set $x (v128.load32_splat (local.get $a)))
      (local.set $s00 (f32x4.add (local.get $s00) (f32x4.mul (local.get $x) (local.get $left))))
      (local.set $s01 (f32x4.add (local.get $s01) (f32x4.mul (local.get $x) (local.get $right))))
      (local.set $x (v128.load32_splat (local.get $a1)))
      (local.set $s10 (f32x4.add (local.get $s10) (f32x4.mul (local.get $x) (local.get $left))))
      (local.set $s11 (f32x4.add (local.get $s11) (f32x4.mul (local.get $x) (local.get $right))))
      (local.set $x (v128.load32_splat (local.get $a2)))
      (local.set $s20 (f32x4.add (local.get $s20) (f32x4.mul (local.get $x) (local.get $left))))
      (local.set $s21 (f32x4.add (local.get $s21) (f32x4.mul (local.get $x) (local.get $right))))
      (local.set $x (v128.load32_splat (local.get $a3)))
      (local.set $s30 (f32x4.add (local.get $s30) (f32x4.mul (local.get $x) (local.get $left))))
      (local.set $s31 (f32x4.add (local.get $s31) (f32x4.mul (local.get $x) (local.get $right))))
      (local.set $panel (i32.add (local.get $panel) (i32.const 32)))
      (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
      (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
      (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
      (local.set $a (i32.add (local.get $a) (i32.const 4)))
      (br_if $next (i32.ne (local.get $a) (local.get $end))))
    (v128.store (local.get $c) (f32x4.max (local.get $s00) (local.get $floor)))
    (v128.store offset=16 (local.get $c) (f32x4.max (local.get $s01) (local.get $floor)))
    (local.set $c (i32.add (local.get $c) (local.get $c_row)))
    (v128.store (local.get $c) (f32x4.max (local.get $s10) (local.get $floor)))
    (v128.store offset=16 (local.get $c) (f32x4.max (local.get $s11) (local.get $floor)))
    (local.set $c (i32.add (local.get $c) (local.get $c_row)))
    (v128.store (local.get $c) (f32x4.max (local.get $s20) (local.get $floor)))
    (v128.store offset=16 (local.get $c) (f32x4.max (local.get $s21) (local.get $floor)))
    (local.set $c (i32.add (local.get $c) (local.get $c_row)))
    (v128.store (local.get $c) (f32x4.max (local.get $s30) (local.get $floor)))
    (v128.store offset=16 (local.get $c) (f32x4.max (local.get $s31) (local.get $floor))))

  ;; One row times one panel; see $four_rows.
  (func $one_row
    (param $a i32) (param $row i32) (param $panel i32) (param $bias i32) (param $c i32)
    (param $floor v128)
    (local $end i32) (local $x v128) (local $s0 v128) (local $s1 v128)
    (local.set $end (i32.add (local.get $a) (local.get $row)))
    (local.set $s0 (v128.load (local.get $bias)))
    (local.set $s1 (v128.load offset=16 (local.get $bias)))
    (loop $next
      (local.set $x (v128.load32_splat (local.get $a)))
      (local.set $s0 (f32x4.add (local.get $s0)
        (f32x4.mul (local.get $x) (v128.load (local.get $panel)))))
      (local.set $s1 (f32x4.add (local.get $s1)
        (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $panel)))))
      (local.set $panel (i32.add (local.get $panel) (i32.const 32)))
      (local.set $a (i32.add (local.get $a) (i32.const 4)))
      (br_if $next (i32.ne (local.get $a) (local.get $end))))
    (v128.store (local.get $c) (f32x4.max (local.get $s0) (local.get $floor)))
    (v128.store offset=16 (local.get $c) (f32x4.max (local.get $s1) (local.get $floor))))

  ;; c = max(a b + bias, floor): (rows, inner) times (inner, columns). Of `b`, panels of eight
  ;; columns lie one behind the other, so that it is read from its start to its end.
  (func (export "product")
    (param $a i32) (param $b i32) (param $bias i32) (param $c i32)
    (param $rows i32) (param $inner i32)
    (param $columns i32)  ;; a multiple of eight
    (param $floor f32)
    (local $row i32) (local $c_row i32) (local $floors v128)
    (local $a_now i32) (local $c_now i32) (local $left i32) (local $c_end i32)
    (local.set $row (i32.shl (local.get $inner) (i32.const 2)))
    (local.set $c_row (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $c_end (i32.add (local.get $c) (local.get $c_row)))
    (local.set $floors (f32x4.splat (local.get $floor)))
    (loop $panels
      (local.set $a_now (local.get $a))
      (local.set $c_now (local.get $c))
      (local.set $left (local.get $rows))
      (block $fours_done
        (loop $fours
          (br_if $fours_done (i32.lt_u (local.get $left) (i32.const 4)))
          (call $four_rows (local.get $a_now) (local.get $row) (local.get $b) (local.get $bias)
            (local.get $c_now) (local.get $c_row) (local.get $floors))
          (local.set $a_now (i32.add (local.get $a_now) (i32.shl (local.get $row) (i32.const 2))))
          (local.set $c_now (i32.add (local.get $c_now) (i32.shl (local.get $c_row) (i32.const 2))))
          (local.set $left (i32.sub (local.get $left) (i32.const 4)))
          (br $fours)))
      (block $ones_done
        (loop $ones
          (br_if $ones_done (i32.eqz (local.get $left)))
          (call $one_row (local.get $a_now) (local.get $row) (local.get $b) (local.get $bias)
            (local.get $c_now) (local.get $floors))
          (local.set $a_now (i32.add (local.get $a_now) (local.get $row)))
          (local.set $c_now (i32.add (local.get $c_now) (local.get $c_row)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $ones)))
      (local.set $b (i32.add (local.get $b) (i32.shl (local.get $row) (i32.const 3))))
      (local.set $bias (i32.add (local.get $bias) (i32.const 32)))
      (local.set $c (i32.add (local.get $c) (i32.const 32)))
      (br_if $panels (i32.ne (local.get $c) (local.get $c_end)))))

  ;; What a convolution's kernel lies on at every place, one place a row ("im2col"): of each row of
  ;; the kernel, so many bytes on end.
  (func (export "gather")
    (param $picture i32) (param $patches i32)
    (param $height i32) (param $width i32)  ;; places
    (param $kernel i32)                     ;; rows of it
    (param $run i32)                        ;; bytes of such a row, a multiple of 16
    (param $row i32)                        ;; bytes to the picture's next row
    (param $down i32) (param $right i32)    ;; bytes to the next place
    (local $line i32) (local $place i32) (local $from i32)
    (local $i i32) (local $j i32) (local $r i32) (local $q i32)
    (local.set $line (local.get $picture))
    (local.set $i (local.get $height))
    (loop $lines
      (local.set $place (local.get $line))
      (local.set $j (local.get $width))
      (loop $places
        (local.set $from (local.get $place))
        (local.set $r (local.get $kernel))
        (loop $rows
          (local.set $q (i32.const 0))
          (loop $vectors
            (v128.store (i32.add (local.get $patches) (local.get $q))
              (v128.load (i32.add (local.get $from) (local.get $q))))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br_if $vectors (i32.lt_u (local.get $q) (local.get $run))))
          (local.set $patches (i32.add (local.get $patches) (local.get $run)))
          (local.set $from (i32.add (local.get $from) (local.get $row)))
          (br_if $rows (local.tee $r (i32.sub (local.get $r) (i32.const 1)))))
        (local.set $place (i32.add (local.get $place) (local.get $right)))
        (br_if $places (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
      (local.set $line (i32.add (local.get $line) (local.get $down)))
      (br_if $lines (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))

  ;; The other way round, for transposed convolutions ("col2im"): adds patches to the picture, each
  ;; at its place, where they overlap.
  (func (export "scatter")
    (param $picture i32) (param $patches i32)
    (param $height i32) (param $width i32) (param $kernel i32) (param $run i32)
    (param $row i32) (param $down i32) (param $right i32)
    (local $line i32) (local $place i32) (local $to i32) (local $at i32)
    (local $i i32) (local $j i32) (local $r i32) (local $q i32)
    (local.set $line (local.get $picture))
    (local.set $i (local.get $height))
    (loop $lines
      (local.set $place (local.get $line))
      (local.set $j (local.get $width))
      (loop $places
        (local.set $to (local.get $place))
        (local.set $r (local.get $kernel))
        (loop $rows
          (local.set $q (i32.const 0))
          (loop $vectors
            (local.set $at (i32.add (local.get $to) (local.get $q)))
            (v128.store (local.get $at) (f32x4.add (v128.load (local.get $at))
              (v128.load (i32.add (local.get $patches) (local.get $q)))))
            (local.set $q (i32.add (local.get $q) (i32.const 16)))
            (br_if $vectors (i32.lt_u (local.get $q) (local.get $run))))
          (local.set $patches (i32.add (local.get $patches) (local.get $run)))
          (local.set $to (i32.add (local.get $to) (local.get $row)))
          (br_if $rows (local.tee $r (i32.sub (local.get $r) (i32.const 1)))))
        (local.set $place (i32.add (local.get $place) (local.get $right)))
        (br_if $places (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
      (local.set $line (i32.add (local.get $line) (local.get $down)))
      (br_if $lines (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))
)
