"""The page in a real browser over a real drive: the thought appears, a text is followed, the stop button stops the arm.

Chromium and its driver are Debian packages (`make setup-dev` installs them); nothing is downloaded.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from hyt.errors import StoppedError
from hyt.export.exporter import export_bundle
from hyt.firmware_bridge import FirmwareProcess, Link, State, Trip
from hyt.simulation.metaworld import MetaWorldArm
from hyt.simulation.robot import arm_firmware

POLICY = Path(__file__).parents[4] / "policies" / "metaworld-arm"
TASK = "drawer-open-v3"
PATIENCE = 60

PAINTED = """(() => {
    const canvas = document.getElementById("timeline");
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
})()"""

GROWN = """(() => {  // the page has shown a beginning of the thought that it shows now
    const thought = document.getElementById("thought");
    window.seen ??= new Set();
    const text = thought.textContent;
    const grown = [...window.seen].some((before) => before && text.length > before.length && text.startsWith(before));
    if (thought.classList.contains("writing")) window.seen.add(text);
    return grown;
})()"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policy, INT4."""
    path = tmp_path_factory.mktemp("shipped") / "arm.hyt"
    export_bundle(POLICY, path, threads=1)
    return path


@contextmanager
def driving(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A drive that would take hours, and the address of its page."""
    command = [sys.executable, "-m", "hyt.runtime.cli", "drive", str(bundle), "--robot", f"sim:metaworld/{TASK}"]
    command += ["--episodes", "1000", "--threads", "1", "--view", ":0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.fullmatch(r"view: (http://127\.0\.0\.1:\d+/)\n", process.stdout.readline())
            assert found is not None
            yield process, found[1]
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.fixture
def firmware(tmp_path: Path) -> Iterator[FirmwareProcess]:
    """The simulated arm's firmware in real time, traced; it waits for hosts on a busy computer."""
    arm = MetaWorldArm(TASK)
    arm.reset(0)
    config = arm_firmware(arm.limits, np.append(arm.setpoint, 0.0))
    arm.close()
    config = replace(config, link_timeout_ticks=8000, underrun_timeout_ticks=0)
    with FirmwareProcess(config, lockstep=False, trace=tmp_path / "trace.csv") as process:
        yield process


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    assert program is not None, "Chromium is needed: .ci/system-packages chromium chromium-driver"
    assert driver is not None, "its driver is needed: .ci/system-packages chromium chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.add_argument("--headless=new")
    options.add_argument("--disable-gpu")
    options.add_argument("--disable-dev-shm-usage")  # containers have little shared memory
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")  # it refuses to be root otherwise
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


class Page:
    """What a user sees and does."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)

    def text(self, name: str) -> str:
        return self.browser.find_element(By.ID, name).text

    def shows(self, name: str, pattern: str) -> str:
        """Waits until the element's text has the pattern; returns it."""
        message = f"#{name} shows {pattern!r}"
        WebDriverWait(self.browser, PATIENCE, 0.05).until(lambda _: re.search(pattern, self.text(name)), message)
        return self.text(name)

    def evaluates(self, expression: str) -> None:
        """Waits until the script's expression is true."""
        WebDriverWait(self.browser, PATIENCE, 0.02).until(
            lambda browser: browser.execute_script(f"return {expression}"), expression
        )

    def click(self, name: str) -> None:
        self.browser.find_element(By.ID, name).click()

    def type(self, words: str) -> None:
        self.browser.find_element(By.ID, "words").send_keys(words)

    def complaints(self) -> list[str]:
        """What the browser says against the page's script and style; not that a run which has ended answers no more."""
        log = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["source"] != "network"]


def ended_as_documented(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=PATIENCE)
    assert errors == (
        f"hyt-run: robot 'sim:metaworld/{TASK}'; received a stop from the user; its firmware has stopped; drive again\n"
    )
    assert process.returncode == StoppedError.exit_code


def stopped_for_good(firmware: FirmwareProcess, trace: Path) -> None:
    """The firmware has stopped because it was told to, and has put out no motion since."""
    with Link(firmware.port) as link:
        telemetry = link.telemetry()
    assert (telemetry.state, telemetry.trip) == (State.STOPPED, Trip.STOP_FRAME)
    text = trace.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text[: text.rindex("\n")].splitlines()))
    since = [tuple(row[axis] for axis in "xyz") for row in rows if int(row["state"]) == State.STOPPED]
    assert len(since) > 1
    assert len(set(since)) == 1
    assert len({row["x"] for row in rows}) > 10  # it had been moving before


def test_the_thought_appears_and_the_stop_button_stops_the_arm(
    bundle: Path, firmware: FirmwareProcess, tmp_path: Path, browser: webdriver.Chrome
) -> None:
    with driving(bundle, "--port", firmware.port, "--mode", "think") as (process, url):
        page = Page(browser, url)
        assert "subtask" in page.shows("thought", r"^plan \w+ .*gripper <p\d\d>")
        assert page.shows("thought-state", r"^1\d tokens, .* finished; of turn \d+, ")
        assert page.text("instruction") == "open the drawer"
        assert page.shows("counters", r"chunks\n[1-9]")
        page.evaluates("document.querySelector('#cameras img').naturalWidth === 128")
        page.evaluates(PAINTED)
        page.click("stop")
        page.shows("banner", "^(Stopped: the firmware has confirmed it|The run has ended: .*a stop from the user)")
        ended_as_documented(process)
    stopped_for_good(firmware, tmp_path / "trace.csv")
    page.shows("health", "^ended$")
    assert page.complaints() == []


def test_a_thought_grows_beside_the_actions_a_text_is_followed_and_escape_stops(
    bundle: Path, browser: webdriver.Chrome
) -> None:
    with driving(bundle, "--think", "every=2", "--tokens-per-second", "40") as (process, url):
        page = Page(browser, url)
        page.shows("modality", "^act, think every=2$")
        page.evaluates(GROWN)
        page.shows("left", r"\d+ tokens left")

        page.type("fly to the moon" + Keys.ENTER)
        assert "fly" in page.shows("reply", "expected words the policy's tokenizer knows")
        browser.find_element(By.ID, "words").clear()
        page.type("subtask lower move down" + Keys.ENTER)
        page.shows("following", "subtask lower move down")
        page.shows("modality", "^follow$")
        page.shows("waiting", "a followed text")
        page.click("back")
        page.shows("modality", "^act")
        assert page.text("following") == ""

        page.type("move" + Keys.ESCAPE)
        ended_as_documented(process)
    assert page.complaints() == []
