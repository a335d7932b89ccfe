"""Playing episodes: policies choose actions, an engine plays many episodes at once.

Read `episode` for what is played, `episode_batch` for how, `policies` for who may drive, `engine`
for how many are played; `local_engine` is the engine that there is. Nothing here knows of models.
"""
