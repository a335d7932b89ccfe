"""Playing episodes: policies choose actions, an engine plays many episodes at once.

Read `episode` for one episode, `policies` for who may drive it, `engine` for how many are played;
`local_engine` is the engine that there is. Nothing here knows of models.
"""
