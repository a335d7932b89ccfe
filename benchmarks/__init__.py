"""How fast everything is, measured. Read `__main__` first."""

import worldmodels as worldmodels  # sets what TensorFlow reads when it is imported
