"""Makes the fast CarRacing known to gym and gymnasium by id, without importing it."""

from __future__ import annotations

from importlib.util import find_spec


def register_environments() -> None:
    """Register FastCarRacing-v2 with gym and FastCarRacing-v3 with gymnasium, where installed."""
    if find_spec("gym"):
        import gym_notices.notices

        gym_notices.notices.notices.clear()  # four lines about gymnasium in every process
        import gym

        gym.register(
            "FastCarRacing-v2",
            entry_point="worldmodels.car_racing.environment:FastCarRacing",
            max_episode_steps=1000,
            reward_threshold=900,
            disable_env_checker=True,  # it uses np.bool8, which NumPy 2 no longer has
        )
    if find_spec("gymnasium"):
        import gymnasium

        for name in ("FastCarRacing-v2", "FastCarRacing-v3"):
            gymnasium.register(
                name,
                entry_point="worldmodels.car_racing.environment:FastCarRacingV3",
                vector_entry_point="worldmodels.car_racing.vector_environment:FastCarRacingVector",
                max_episode_steps=1000,
                reward_threshold=900,
            )
