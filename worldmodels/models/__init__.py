"""V, M and C, and the agent that they make together.

Read `vae`, `memory` and `controller`, each on its own; then `agent_policy`, where a frame becomes
z, z and h become an action, and M moves on. `vision` is V's encoder in the precision that it drives
in; `inference` has such graphs computed. `agent_process` is the agent for people, `model_files`
what is saved.
"""
