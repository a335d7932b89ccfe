"""What lies on disk between the stages: episodes and latents, in HDF5 files that are checked before
they are trusted.

Read `episodes` for what an episode holds, `latents` for what M learns from, `hdf5_files` for what
makes a file safe to open.
"""
