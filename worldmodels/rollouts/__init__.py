"""Playing episodes: policies choose actions, an engine plays many episodes at once.

Read `episode` for what is played, `episode_batch` for how, `policies` for who may drive, `engine`
for how many are played: `local_engine` on this machine, `ray_engine` on a cluster. Nothing here
knows of models.
"""
