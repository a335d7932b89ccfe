"""The dream: M as an environment. M says what is seen next, what it pays, and whether the episode
ends; nothing is simulated and nothing is drawn.

Read `imagination` first, one step of it; then `dream_engine`, which plays whole episodes for the
evolution, and `environment`, a `gymnasium.Env`. `starts` says where dreams begin.
"""
