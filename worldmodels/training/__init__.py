"""How V, M and C learn, and how the agent is scored.

Read `loop` for the training loop of V and M, `vae_training` and `memory_training` for what they
minimise, `evolution.evolve` for CMA-ES on C. `transfer` takes C to another V and M, `evaluation`
and `disturbed_evaluation` say how an agent is scored. `augmentation` disturbs frames for V to learn
from.
"""
