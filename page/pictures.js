/** Puts pictures on canvases. */

/**
 * Show pixels as they are, one for each pixel of the canvas.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array|Uint8ClampedArray} rgb height * width * 3
 * @param {[number, number]} shape height and width
 */
export function showPixels(canvas, rgb, [height, width]) {
  fit(canvas, width, height);
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    image.data[to] = rgb[from];
    image.data[to + 1] = rgb[from + 1];
    image.data[to + 2] = rgb[from + 2];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Give a canvas as many pixels as the screen shows of it; its context. */
export function sharpContext(canvas) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  fit(canvas, Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale));
  return canvas.getContext('2d');
}

function fit(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/** Three bars: steering from the middle, gas and brake from the left. */
export class ActionBars {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.bars = ['steering', 'gas', 'brake'].map((name) => {
      const action = document.createElement('div');
      action.className = 'action';
      action.innerHTML = `${name} <output></output><div class="bar ${name}"><i></i></div>`;
      place.append(action);
      return [action.querySelector('output'), action.querySelector('i')];
    });
  }

  /** @param {ArrayLike<number>} action steering in [-1, 1], gas and brake in [0, 1] */
  show(action) {
    this.bars.forEach(([text, bar], index) => {
      const value = action[index];
      text.textContent = value.toFixed(2);
      const at = index ? value : 0.5 + value / 2;
      const [from, to] = [Math.min(index ? 0 : 0.5, at), Math.max(index ? 0 : 0.5, at)];
      bar.style.left = `${100 * from}%`;
      bar.style.width = `${100 * (to - from)}%`;
    });
  }
}
