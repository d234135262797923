"""docs/sending.md: the settings in it are settings."""

import re
from pathlib import Path

from postroom.config.load import load

PAGE = Path(__file__).parents[3] / "docs" / "sending.md"
HEAD = 'hostname = "mx.example.org"\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n'


def test_the_examples_load(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    *blocks, whole = blocks
    assert len(blocks) >= 3
    file = tmp_path / "postroom.toml"
    file.write_text(HEAD + "\n".join(blocks).replace("/etc/postroom/", f"{tmp_path}/"))
    (tmp_path / "relay.password").write_text("secret\n")
    settings = load(file)
    assert [route.name for route in settings.route] == ["shop", "lists", "tests", "bulk"]
    assert settings.warmup[0].daily[0] == 50
    file.write_text(whole)
    assert [route.name for route in load(file).route] == ["suspicious", "newsletters", "everything"]
