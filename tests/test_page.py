"""The page in a browser: it drives, dreams and decodes, in every mode, from a server and from a
file, and asks nobody else for anything."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gym
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from project import ROOT

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.page.__main__ import PAGE, main
from worldmodels.page.server import PageServer
from worldmodels.page.weights import export_weights

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
MODES = ("agent", "latents", "dream", "drive")
STEPS = 500  # of a drive that is compared
AGENT_STEPS = 300

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed: it shows the page; apt install chromium"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small models, whose numbers are halves: the page has the same."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(5)
    vae, memory = VAE((32, 32), 4, rng=rng), MDNRNN(4, 8, 2, rng=rng)
    for variable in (*vae.weights, *memory.weights):
        variable.assign(variable.numpy().astype(np.float16).astype(np.float32))
    vae.save(folder / "vae.h5")
    bias = memory.outcome_layers[-1].bias
    bias.assign(bias.numpy() - np.array([0.0, 20.0, 0.0], np.float32))  # no dream ends
    memory.has_outcome = True
    memory.save(folder / "memory.h5")
    weights = rng.normal(size=(13, 3)).astype(np.float32)
    LinearController(weights, ("z", "h"), "mean").save(folder / "controller.h5")
    z = rng.normal(size=(6, 4)).astype(np.float32) * np.array([1, 2, 0.01, 1], np.float32)
    state = np.zeros((6, 8), np.float32)
    bounds = np.array([[-6.0] * 4, [6.0] * 4], np.float32)
    DreamStarts(z, state, state, bounds).save(folder / "dream_starts.h5", memory)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[PageServer]:
    manifest, weights = export_weights(models)
    newest = {"version": 1, "weights": [0.0] * 39}
    manifest["follow"] = False
    with PageServer(
        PAGE, port=8765, manifest=manifest, weights=weights, controller=lambda: newest
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page that is open, what it asked for, and what it complained about."""

    def __init__(
        self, browser: Browser, address: str, *, before: str = "", **settings: Any
    ) -> None:
        self.context = browser.new_context(has_touch=True, **settings)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.complaints.append(line.text) if line.type == "error" else None,
        )
        self.page.route("**/*", self._ask)
        if before:
            self.page.add_init_script(before)
        self.page.goto(address)

    def _ask(self, route: Route) -> None:
        self.asked.append(route.request.url)
        route.continue_()

    def ready(self) -> Page:
        self.page.wait_for_function("globalThis.page", timeout=30_000)
        return self.page

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def watched(browser: Browser, server: PageServer) -> Iterator[Watched]:
    watched = Watched(browser, server.address)
    watched.ready()
    yield watched
    watched.close()
    assert watched.complaints == []
    assert all(url.startswith(server.address) for url in watched.asked)


def picture(page: Page, canvas: str) -> str:
    """What a canvas shows."""
    shown: str = page.evaluate(f"document.getElementById('{canvas}').toDataURL()")
    return shown


def test_the_agent_drives_and_what_v_and_m_make_of_it_is_shown(watched: Watched) -> None:
    page = watched.page
    page.wait_for_function("page.session.drive.race.steps > 20")
    views = ("agent-world", "agent-seen", "agent-reconstruction", "agent-expected")
    pictures = [picture(page, view) for view in views]
    assert len(set(pictures)) == len(views)
    page.wait_for_function("page.session.drive.race.steps > 40")
    assert all(picture(page, view) != old for view, old in zip(views, pictures, strict=True))
    assert " tiles, " in page.inner_text("[data-say=agent-score]")


def test_it_pauses_steps_and_starts_again(watched: Watched) -> None:
    page = watched.page
    steps = "page.session.drive.race.steps"
    page.wait_for_function(f"{steps} > 5")
    page.click("#pause")
    before = page.evaluate(steps)
    page.wait_for_timeout(200)
    assert page.evaluate(steps) == before
    page.click("#step")
    assert page.evaluate(steps) == before + 1
    page.click("#pause")
    page.wait_for_function(f"{steps} > 20")
    page.click("#pause")
    page.click("#again")
    assert page.evaluate(f"{steps} < 20 && !page.clock.paused")
    seed = page.input_value("#seed")
    page.click("#another")
    assert page.input_value("#seed") != seed
    assert page.evaluate("page.session.drive.seed") == int(page.input_value("#seed"))


def test_a_slider_changes_the_picture_and_keeps_its_arrow_keys(watched: Watched) -> None:
    page = watched.page
    page.click("[data-mode=latents]")
    assert page.locator("#latents-sliders input").count() == 3
    assert page.locator("#latents-idle input").count() == 1  # one says nothing: it is folded away
    before = picture(page, "latents-picture")
    slider = page.locator("#latents-sliders input").first
    assert slider.get_attribute("aria-label") == "Latent 2"  # that which varies most
    value = float(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("!page.modes.latents.changed")
    assert float(slider.input_value()) == pytest.approx(value + 0.01)
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("!page.modes.latents.changed")
    assert picture(page, "latents-picture") != before
    for button in ("another", "noise", "current"):
        old = page.evaluate("[...page.modes.latents.z]")
        page.click(f"#latents-{button}")
        assert page.evaluate("[...page.modes.latents.z]") != old
    current = page.evaluate("[...page.session.agent.z]")
    assert page.evaluate("[...page.modes.latents.z]") == current


def test_a_dream_goes_on_beside_reality_with_the_same_actions(watched: Watched) -> None:
    page = watched.page
    page.click("[data-mode=dream]")
    page.wait_for_function("page.modes.dream.steps > 10")
    page.click("#pause")
    dreamt, began = page.evaluate("[page.modes.dream.steps, page.session.drive.race.steps]")
    assert page.evaluate("page.modes.dream.race.steps") == began + dreamt
    assert picture(page, "dream-picture") != picture(page, "dream-world")
    page.uncheck("#dream-reality-shown")
    assert not page.is_visible("#dream-world")


def test_temperature_0_dreams_the_same_again(watched: Watched) -> None:
    page = watched.page
    page.click("[data-mode=dream]")
    page.click("#pause")

    def dreamt() -> Any:
        page.evaluate("page.modes.dream.begin()")
        page.click("#step")
        return page.evaluate("[...page.modes.dream.dream.z]")

    page.fill("#temperature", "0")
    assert dreamt() == dreamt()
    page.fill("#temperature", "1")
    assert dreamt() != dreamt()


def test_the_visitor_steers_the_dream(watched: Watched) -> None:
    page = watched.page
    page.click("[data-mode=dream]")
    page.check("[name=dream-driver][value=you]")
    page.wait_for_timeout(200)
    assert page.evaluate("page.modes.dream.steps") == 0  # it waits for the visitor
    page.keyboard.down("ArrowLeft")  # the choice has given the keys to the picture
    page.wait_for_function("page.modes.dream.action[0] === -1")
    page.keyboard.up("ArrowLeft")
    page.wait_for_function("page.modes.dream.action[0] === 0")


@pytest.mark.parametrize("by", ["keyboard", "touch"])
def test_the_visitor_drives_against_the_agent(watched: Watched, by: str) -> None:
    page = watched.page
    page.click("[data-mode=drive]")
    speed = "page.modes.drive.race.speed"
    page.wait_for_timeout(200)
    assert page.evaluate("page.modes.drive.race.steps") == 0  # it waits for the visitor
    assert "to start" in page.inner_text("[data-say=drive-over]")
    if by == "keyboard":
        page.keyboard.press("ArrowRight")
        assert page.evaluate("page.mode") == "drive"  # the tab does not take it
        page.keyboard.down("ArrowUp")
    else:
        page.dispatch_event("[data-key=ArrowUp]", "pointerdown", {"pointerId": 1})
    page.wait_for_function(f"{speed} > 20")
    assert page.evaluate("page.modes.drive.rival.race.steps") > 5
    assert "The agent: score" in page.inner_text("[data-say=drive-rival-score]")
    page.uncheck("#drive-rival")
    page.click(
        "#another"
    )  # the agent's drive is on the track that is named, though it is not shown
    assert page.evaluate("page.session.drive.seed") == int(page.input_value("#seed"))
    assert page.evaluate("page.modes.drive.rival") is None
    page.wait_for_function(
        "document.querySelector('[data-say=drive-rival-score]').innerText === ''"
    )


def test_the_arrow_keys_change_tabs_where_a_tab_has_the_focus(watched: Watched) -> None:
    page = watched.page
    page.locator("#tab-agent").focus()
    for mode in (*MODES[1:], MODES[0]):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("page.mode") == mode
        assert [name for name in MODES if page.is_visible(f"#{name}")] == [mode]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_drive_in_the_browser_is_gym_s_to_the_bit(watched: Watched, seed: int) -> None:
    rng = np.random.default_rng(seed)
    actions = rng.uniform([-1, 0, 0], [1, 1, 0.4], (STEPS // 10, 3)).repeat(10, axis=0)
    env = gym.make("CarRacing-v2", disable_env_checker=True).unwrapped
    env.reset(seed=seed)
    expected = []
    for action in actions:
        _, reward, *_ = env.step(action)
        hull = env.car.hull
        expected.append([reward, *hull.position, hull.angle, *hull.linearVelocity])
    drive = """
    async ([seed, actions]) => {
      const { Race } = await import('/car_racing/race.js');
      const race = new Race(seed);
      return actions.map((action) => {
        const { reward } = race.step(action);
        const { position, angle, velocity } = race.car;
        return [reward, position[0], position[1], angle[0], velocity[0], velocity[1]];
      });
    }
    """
    assert watched.page.evaluate(drive, [seed, actions.tolist()]) == expected
    assert max(reward for reward, *_ in expected) > 2  # tiles were reached


def test_the_agent_in_the_browser_drives_as_in_python(watched: Watched, models: Path) -> None:
    env, agent = FastCarRacing(), Agent.load(models)
    frame, _ = env.reset(seed=4)
    agent.reset(seed=4)
    actions, total = [], 0.0
    for _ in range(AGENT_STEPS):
        actions.append(agent.act(frame))
        frame, reward, *_ = env.step(actions[-1].astype(np.float64))
        total += float(reward)
    drive = """
    async (steps) => {
      const { AgentDrive } = await import('/agent_drive.js');
      const drive = new AgentDrive(page.session.agent, 4);
      const { reconstruction } = page.session.agent.view();
      const first = [...page.session.agent.z];
      while (drive.race.steps < steps) drive.step();
      return [drive.actions, drive.total, first, [...reconstruction]];
    }
    """
    watched.page.click("#pause")
    got, got_total, z, reconstruction = watched.page.evaluate(drive, AGENT_STEPS)
    assert np.abs(np.array(got) - np.stack(actions)).max() < 0.01
    assert got_total == pytest.approx(total, abs=0.2)
    assert np.stack(actions).std(axis=0).max() > 0.01  # it does something
    mean, _ = agent.vae.encode(preprocess(env.reset(seed=4)[0], (32, 32))[None])
    assert z == pytest.approx(mean[0].tolist(), abs=1e-3)
    drawn = agent.vae.decode(mean)[0].ravel()
    assert np.abs(np.array(reconstruction) - drawn).max() <= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1200, 900), (360, 740)], ids=["wide", "narrow"])
def test_each_mode_fits_its_window(
    browser: Browser, server: PageServer, scheme: Any, size: tuple[int, int]
) -> None:
    """Pictures of each are written to `build/page`, to be looked at."""
    width, height = size
    watched = Watched(
        browser,
        server.address,
        color_scheme=scheme,
        viewport={"width": width, "height": height},
    )
    page = watched.ready()
    for mode in MODES:
        page.click(f"[data-mode={mode}]")
        page.wait_for_timeout(300)
        path = ROOT / "build" / "page" / f"{mode}-{width}-{scheme}.png"
        page.screenshot(path=path, full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    watched.close()


def test_the_written_file_needs_no_server(browser: Browser, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert main(["--models", str(models), "--write", str(path)]) == 0
    watched = Watched(browser, path.as_uri())
    page = watched.ready()
    page.wait_for_function("page.session.drive.race.steps > 10")
    for mode in MODES[1:]:
        page.click(f"[data-mode={mode}]")
    page.keyboard.down("ArrowUp")
    page.wait_for_function("page.modes.drive.race.steps > 5")
    watched.close()
    assert watched.complaints == []
    assert [url for url in watched.asked if not url.startswith("data:")] == [path.as_uri()]


def test_the_mean_of_a_running_evolution_is_taken_over(
    browser: Browser, server: PageServer
) -> None:
    kind, said = server.models["/models.json"]
    followed = json.dumps({**json.loads(said), "follow": True}).encode()
    server.models["/models.json"] = (kind, followed)
    watched = Watched(browser, server.address)
    page = watched.ready()
    server.models["/models.json"] = (kind, said)
    assert page.evaluate("page.session.agent.action[1]") != 0.5
    page.wait_for_function("page.session.agent.action[1] === 0.5", timeout=20_000)  # of zeros
    watched.close()


def test_a_browser_without_webassembly_is_told(browser: Browser, server: PageServer) -> None:
    watched = Watched(browser, server.address, before="delete globalThis.WebAssembly")
    watched.page.wait_for_selector("#trouble:not([hidden])")
    assert "needs a browser with WebAssembly" in watched.page.inner_text("#trouble")
    watched.close()


def test_a_browser_without_import_maps_is_told(browser: Browser, server: PageServer) -> None:
    watched = Watched(browser, server.address, before="HTMLScriptElement.supports = () => false")
    assert "needs a browser of 2023 or later" in watched.page.inner_text("#trouble")
    watched.close()


def test_models_that_are_missing_are_named_before_anything_is_served(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "controller.h5").unlink()
    assert main(["--models", str(folder), "--write", str(tmp_path / "page.html")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("page: ")
    assert "controller.h5" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_a_busy_port_is_passed_over(server: PageServer) -> None:
    with PageServer(PAGE, port=server.server_port, manifest={}, weights=b"") as other:
        assert server.server_port < other.server_port < server.server_port + 100


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("worldmodels.page.server.PORTS", 1)
        with pytest.raises(WorldModelsError, match=f"expected a free one from {port}"):
            PageServer(PAGE, port=port, manifest={}, weights=b"")


def test_following_is_refused_where_there_is_nothing_to_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("rounds: {first: {after: none}}\n")
    assert main(["--follow"]) == 1
    assert "page: expected an evolution to follow, got none in scratch" in capsys.readouterr().err
    assert main(["--follow", "--write", "page.html"]) == 1
    assert "--follow: expected a running evolution's models, got --write" in capsys.readouterr().err
