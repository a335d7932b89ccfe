"""Keras, when it runs on TensorFlow: V and M are made of both."""

from __future__ import annotations

from worldmodels.core.errors import WorldModelsError

ADVICE = (
    "set KERAS_BACKEND=tensorflow before Keras is imported; it is read from there, or else from "
    "~/.keras/keras.json"
)
try:
    import keras
except ModuleNotFoundError as error:
    if error.name not in ("jax", "torch", "openvino"):
        raise
    raise WorldModelsError(
        f"Keras: expected its TensorFlow backend, got another without its package {error.name}; "
        f"{ADVICE}"
    ) from error
if keras.backend.backend() != "tensorflow":
    raise WorldModelsError(
        f"Keras: expected its TensorFlow backend, got {keras.backend.backend()}; {ADVICE}"
    )
