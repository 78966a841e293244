"""Secrets: the layer of the secrets directory, and that they are shown nowhere."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from tickrail import RuntimeBootstrapper, Strategy
from tickrail.cli import main
from tickrail.cli.options import Override
from tickrail.config import LoadedConfig, load_config
from tickrail.config.values import says_secret
from tickrail.data import generate_file
from tickrail.errors import ConfigProblems, ParameterError

HIDDEN = "hunter2-Zk9"
FILE = f"""\
[feeds.demo]
path = "data/demo.ticks"
[venues.OANDA]
options = {{ api_key = "{HIDDEN}", account = "plain", deep = {{ token = "{HIDDEN}" }} }}
[venues.OANDA.secrets]
password = "{HIDDEN}"
[strategies.s]
class = "m:C"
params = {{ token = "BTC", smtp_password = "{HIDDEN}" }}
"""
Load = Callable[..., LoadedConfig]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


@pytest.fixture
def load(tmp_path: Path, folder: Path) -> Load:
    (tmp_path / "config" / "live").mkdir(parents=True)

    def load(text: str = FILE, **options: Any) -> LoadedConfig:
        (tmp_path / "config" / "live" / "x.toml").write_text(text)
        return load_config("live", root=tmp_path / "config", **{"environ": {}, "secrets_dir": folder, **options})

    return load


def problems(load: Load, text: str = FILE, **options: Any) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(text, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("venues__OANDA__secrets__token", lambda c: c.venues["OANDA"].secrets["token"]),
        ("VENUES__OANDA__SECRETS__TOKEN", lambda c: c.venues["OANDA"].secrets["token"]),
        ("TICKRAIL_VENUES__OANDA__SECRETS__TOKEN", lambda c: c.venues["OANDA"].secrets["token"]),
        ("venues__oanda__options__whatever", lambda c: c.venues["OANDA"].options["whatever"]),
        ("strategies__s__seed_phrase", lambda c: c.strategies["s"].params["seed_phrase"]),
        ("strategies__s__secrets__pin", lambda c: c.strategies["s"].secrets["pin"]),
        ("feeds__demo__secrets__key", lambda c: c.feeds["demo"].secrets["key"]),
    ],
)
def test_a_file_is_a_secret_wherever_the_models_leave_it_open(
    load: Load, folder: Path, name: str, read: Callable[[Any], SecretStr]
) -> None:
    (folder / name).write_text("12345\n")
    loaded = load()
    assert read(loaded.config).get_secret_value() == "12345", "text, whatever it looks like, without its last newline"
    assert f"secret {folder / name}" in {str(origin) for origin in loaded.origins.values()}


def test_a_file_may_set_any_other_value(load: Load, folder: Path) -> None:
    (folder / "runtime__seed").write_text("7")
    (folder / "feeds__demo__path").write_text("other.ticks\n")
    loaded = load()
    assert loaded.config.runtime.seed == 7
    assert loaded.config.feeds["demo"].path == folder.parent / "other.ticks"


def test_it_lies_over_files_and_under_variables(load: Load, folder: Path) -> None:
    (folder / "runtime__seed").write_text("2")
    text = FILE + "[runtime]\nseed = 1\n"
    loaded = load(text)
    assert loaded.config.runtime.seed == 2
    assert [origin.kind for origin in loaded.origin("runtime.seed").history()] == ["secret", "file"]
    assert load(text, environ={"TICKRAIL_RUNTIME__SEED": "3"}).config.runtime.seed == 3


def test_the_variable_names_the_folder(load: Load, folder: Path) -> None:
    (folder / "runtime__seed").write_text("2")
    assert load(secrets_dir=None).config.runtime.seed == 0
    assert load(secrets_dir=None, environ={"TICKRAIL_SECRETS_DIR": str(folder)}).config.runtime.seed == 2


def test_a_mount_of_kubernetes_is_read(load: Load, folder: Path) -> None:
    (folder / "..2024").mkdir()
    (folder / "..2024" / "venues__OANDA__secrets__token").write_text("abc")
    (folder / "..data").symlink_to("..2024")
    (folder / "venues__OANDA__secrets__token").symlink_to("..data/venues__OANDA__secrets__token")
    assert load().config.venues["OANDA"].secrets["token"].get_secret_value() == "abc"


def test_everything_wrong_with_the_folder_is_said_at_once(load: Load, folder: Path) -> None:
    for name, content in {
        "token": b"x",
        "venues__OANDO__secrets__token": b"x",
        "venues__OANDA__secret__token": b"x",
        "venues__OANDA__secrets__empty": b"\n",
        "venues__OANDA__secrets__bytes": b"\xff",
        "venues__OANDA__secrets__large": b"x" * (65 << 10),
        "VENUES__OANDA__SECRETS__BYTES": b"x",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "venues__OANDA__secrets__folder").mkdir()
    (folder / "venues__OANDA__secrets__out").symlink_to(folder.parent / "config" / "live" / "x.toml")
    said = [line.replace(f"secret {folder}/", "") for line in problems(load)]
    assert said == [
        "token: names no value; expected a path joined by two underscores, as venues__X__secrets__token",
        "venues__OANDA__secrets__bytes: venues.OANDA.secrets.bytes: set by VENUES__OANDA__SECRETS__BYTES as well;"
        " expected one file",
        "venues__OANDA__secrets__empty: venues.OANDA.secrets.empty: is empty; expected the secret",
        "venues__OANDA__secrets__folder: venues.OANDA.secrets.folder: is a directory; expected a file with a secret",
        "venues__OANDA__secrets__large: venues.OANDA.secrets.large: is larger than 64 KiB;"
        " expected a file with a secret (data belongs elsewhere)",
        "venues__OANDA__secrets__out: venues.OANDA.secrets.out: leads out of the folder of secrets;"
        " expected a file inside it",
        "venues__OANDO__secrets__token: venues.oando: unknown id in [venues]; did you mean 'OANDA'?",
        "venues__OANDA__secret__token: venues.OANDA.secret: unknown key; did you mean 'secrets'?",
    ]


def test_a_folder_that_is_not_there_is_a_problem(load: Load, tmp_path: Path) -> None:
    (problem,) = problems(load, secrets_dir=tmp_path / "nowhere")
    assert problem == f"{tmp_path / 'nowhere'}: does not exist; expected the folder of secrets"


def test_bytes_that_are_no_text_and_too_many_files(load: Load, folder: Path) -> None:
    (folder / "venues__OANDA__secrets__x").write_bytes(b"ab\xff")
    assert "byte 2 is not UTF-8" in problems(load)[0]
    for number in range(1_025):
        (folder / f"venues__OANDA__secrets__x{number}").touch()
    assert "holds more than 1024 files" in problems(load)[0]


@pytest.mark.parametrize("value", ["true", "12", '"quoted"', "[1, 2]", "a,b", " spaced "])
def test_a_variable_for_a_secret_stays_text(load: Load, value: str) -> None:
    loaded = load(environ={"TICKRAIL_VENUES__OANDA__SECRETS__TOKEN": value})
    assert loaded.config.venues["OANDA"].secrets["token"].get_secret_value() == value


@pytest.mark.parametrize(
    ("name", "token", "hidden"),
    [
        ("password", False, True),
        ("API-KEY", False, True),
        ("oanda_access_token", False, True),
        ("token", True, True),
        ("token", False, False),
        ("tokens", True, False),
        ("secretary", True, False),
        ("keyword", True, False),
    ],
)
def test_which_names_say_secret(name: str, token: bool, hidden: bool) -> None:
    assert says_secret(name, token=token) is hidden


def test_whatever_stands_under_such_a_name_is_hidden(load: Load) -> None:
    text = (
        f'[venues.X]\noptions = {{ password = ["{HIDDEN}", 12], api_key = {{ a = "{HIDDEN}" }}, pin_secret = 77123,'
        f' on_secret = true, list = [{{ token = "{HIDDEN}" }}] }}\n'
    )
    loaded = load(text)
    options = loaded.config.venues["X"].options
    for shown in (repr(loaded.config), loaded.config.model_dump_json()):
        assert HIDDEN not in shown
        assert "77123" not in shown
    assert options["list"][0]["token"].get_secret_value() == HIDDEN
    assert options["pin_secret"].get_secret_value() == "77123"
    assert options["on_secret"] is True
    with pytest.raises(TypeError, match="cannot be changed"):
        options["list"].append(1)
    with pytest.raises(TypeError, match="cannot be changed"):
        options["list"][0]["x"] = 1
    assert pickle.loads(pickle.dumps(options)) == options


def shown_everywhere(loaded: LoadedConfig) -> str:
    config = loaded.config
    return "\n".join(
        [
            repr(loaded),
            str(config),
            config.model_dump_json(),
            json.dumps(config.model_dump(mode="json")),
            repr(config.venues["OANDA"].options),
            str(config.strategies["s"].params),
            repr(loaded.origins),
            repr(dict(loaded.origins)),
        ]
    )


def test_a_loaded_configuration_shows_no_secret(load: Load, folder: Path) -> None:
    (folder / "venues__OANDA__options__note").write_text(HIDDEN)
    loaded = load(environ={"TICKRAIL_VENUES__OANDA__SECRETS__PIN": HIDDEN})
    said = shown_everywhere(loaded)
    assert HIDDEN not in said
    assert "plain" in said and "BTC" in said, "what is no secret shows"
    assert loaded.config.venues["OANDA"].options["deep"]["token"].get_secret_value() == HIDDEN
    assert pickle.loads(pickle.dumps(loaded.config)) == loaded.config


def everywhere_in_traceback(error: BaseException) -> str:
    """What a tool prints that shows the locals of every frame."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_errors_show_no_secret_not_even_with_the_locals_of_their_frames(load: Load, folder: Path) -> None:
    (folder / "runtime__seed").write_text(HIDDEN)
    (folder / "venues__OANDA__secrets__token").write_text(HIDDEN)
    wrong = FILE.replace(f'password = "{HIDDEN}"', f'password = ["{HIDDEN}"]') + f'[runtime]\ndigest = "{HIDDEN}"\n'
    environ = {"TICKRAIL_VENUES__OANDA__SECRETS__PIN": HIDDEN, "TICKRAIL_VENUES__OANDA__FEE_RATE": HIDDEN}
    with pytest.raises(ConfigProblems) as caught:
        load(wrong, environ=environ, overrides=[f"venues.OANDA.secrets.x={HIDDEN}", f"runtime.seed={HIDDEN}"])
    said = everywhere_in_traceback(caught.value)
    ours = said.partition("loader.py")[2]
    assert len(caught.value.problems) == 4
    assert HIDDEN not in ours, ours
    assert HIDDEN not in str(caught.value)
    assert HIDDEN not in repr(caught.value.problems)
    assert caught.value.__context__ is None, "an error of pydantic beneath would carry the inputs"


class Secretive(Strategy):
    pin: SecretStr
    level: int = 1


class Plain(Strategy):
    pin: str
    level: int = 1


def test_a_strategy_takes_a_secret_as_one() -> None:
    assert Secretive(pin=SecretStr(HIDDEN)).pin.get_secret_value() == HIDDEN
    assert HIDDEN not in repr(Secretive(pin=SecretStr(HIDDEN)))
    with pytest.raises(ParameterError) as caught:
        Plain(pin=SecretStr(HIDDEN), level=SecretStr(HIDDEN))  # type: ignore[arg-type]
    assert HIDDEN not in str(caught.value)
    assert "expected the annotation SecretStr (of pydantic): the value is a secret" in str(caught.value)


MODULE = """
from pydantic import SecretStr
from tickrail import Strategy

class C(Strategy):
    pin: SecretStr
    note: SecretStr
    def on_start(self):
        assert self.pin.get_secret_value() == self.note.get_secret_value() == "hunter2-Zk9"
"""
RUN = """
[feeds.demo]
path = "demo.ticks"
[venues.SIM]
[strategies.s]
class = "secretive:C"
secrets = { pin = "hunter2-Zk9" }
"""


def test_a_run_leaves_no_secret_behind(
    load: Load, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generate_file(tmp_path / "demo.ticks", count=100, seed=1)
    (tmp_path / "secretive.py").write_text(MODULE)
    (folder / "strategies__s__note").write_text(HIDDEN)
    loaded = load(RUN)
    with caplog.at_level(logging.DEBUG), RuntimeBootstrapper.of(loaded).bootstrap() as runtime:
        result = runtime.run()
    assert result.ok, result.errors
    result.write(tmp_path / "result")
    written = "".join(file.read_bytes().decode("latin-1") for file in (tmp_path / "result").iterdir())
    assert '"pin": "**********"' in written
    for text in (written, caplog.text, repr(result), repr(runtime.config), repr(runtime)):
        assert HIDDEN not in text
    assert loaded.digest.hex() in caplog.text, "logged at start"
    assert f'"configuration_digest": "{loaded.digest.hex()}"' in written, "stored with the run"
    rotated = load(RUN.replace(HIDDEN, "other"))
    assert rotated.digest == loaded.digest, "a new secret is no other configuration"


def test_the_command_shows_no_secret_given_by_a_flag(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    root = load().root
    monkeypatch.chdir(root.parent)
    words = ["run", "-e", "live", "--config-root", str(root), "--set", f"venues.OANDA.secrets.x={HIDDEN}"]
    result = CliRunner().invoke(main, [*words, "--traceback"])
    assert result.exit_code == 78
    assert HIDDEN not in result.output
    assert repr(Override(f"a.b={HIDDEN}")) == "'a.b=...'"
