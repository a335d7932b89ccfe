"""V, M and C, and the agent that they make together.

Read `vae`, `memory` and `controller`, each on its own; then `agent`, where a frame becomes z, z and
h become an action, and M moves on. `agent_process` is the agent for people, `model_files` what is
saved.
"""
