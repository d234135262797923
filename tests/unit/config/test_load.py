"""Settings are read whole, checked whole, and every fault names its place and its remedy."""

from pathlib import Path

import pytest

from postroom.config.load import Examination, examine, find, load
from postroom.config.problems import Problem, SettingsError
from postroom.mail.session import Role

TLS = '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n'
HOST = 'hostname = "mx.example.org"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "postroom.toml"


def look(file: Path, text: str, environment: dict[str, str] | None = None) -> Examination:
    file.write_text(text, encoding="utf-8")
    return examine(file, environment or {})


def the_problem(examined: Examination) -> Problem:
    assert examined.settings is None
    assert len(examined.problems) == 1, examined.problems
    return examined.problems[0]


def the_warning(examined: Examination) -> Problem:
    assert not examined.problems
    assert len(examined.warnings) == 1, examined.warnings
    return examined.warnings[0]


def test_minimal_file_has_every_default(file: Path) -> None:
    file.write_text('hostname = "MX.Example.ORG"\n' + TLS)
    settings = load(file, {})
    assert settings.hostname == "mx.example.org"
    assert settings.smtp.max_size == 50 << 20
    assert settings.queue.lifetime == 5 * 86400
    assert [listener.port for listener in settings.listener] == [2025, 2587, 2465, 2110, 2995]


def test_names_that_servers_are_told_are_in_ascii(file: Path) -> None:
    # RFC 6531 §3.7.1: before EHLO is answered, nobody knows whether the other side takes anything else
    text = 'hostname = "bücher.example"\n' + TLS + '[outbound]\nhostname = "{}"\n'
    file.write_text(text.format("Grüße.example"))
    settings = load(file, {})
    assert settings.hostname == "xn--bcher-kva.example"
    assert settings.outbound.hostname == "xn--gre-6ka8l.example"
    file.write_text(text.format(""))
    assert load(file, {}).outbound.hostname == ""


def test_nobody_is_hurried(file: Path) -> None:
    """RFC 5321 §4.5.3.2: what a client should wait for at least, and a server for the next command."""
    file.write_text(HOST + TLS)
    settings = load(file, {})
    minutes = {
        "greeting": settings.outbound.greeting_timeout / 60,
        "MAIL, RCPT": settings.outbound.command_timeout / 60,
        "DATA": settings.outbound.data_timeout / 60,
        "block": settings.outbound.block_timeout / 60,
        "dot": settings.outbound.final_timeout / 60,
        "server": settings.smtp.command_timeout / 60,
    }
    assert minutes == {
        "greeting": 5,  # RFC 5321 §4.5.3.2.1
        "MAIL, RCPT": 5,  # RFC 5321 §4.5.3.2.2, §4.5.3.2.3
        "DATA": 2,  # RFC 5321 §4.5.3.2.4
        "block": 3,  # RFC 5321 §4.5.3.2.5
        "dot": 10,  # RFC 5321 §4.5.3.2.6
        "server": 5,  # RFC 5321 §4.5.3.2.7
    }


def test_relative_paths_lie_beside_the_file(file: Path) -> None:
    text = (
        HOST + TLS + '[[smarthost]]\nname="s"\nhost="h.example"\nca_file="ca.pem"\nuser="u"\npassword_file="/abs/pw"\n'
    )
    file.write_text(text)
    settings = load(file, {})
    folder = file.parent
    assert settings.data == folder / "data"
    assert settings.store.file == folder / "data" / "postroom.db"
    assert (settings.tls.certificate, settings.tls.key) == (folder / "c.pem", folder / "k.pem")
    assert settings.smarthost[0].ca_file == folder / "ca.pem"
    assert settings.smarthost[0].password_file == Path("/abs/pw")


def test_all_problems_at_once_in_order_of_lines(file: Path) -> None:
    examined = look(
        file,
        """# a comment
hostname = "mx..org"

[smtp]
max_sizes = 3
max_recipients = 5

[[listener]]
role = "mx"
port = 99999

[[listener]]
role = "mx"
port = "many"
""",
    )
    assert [(problem.line, problem.key) for problem in examined.problems] == [
        (2, "hostname"),
        (5, "smtp.max_sizes"),
        (6, "smtp.max_recipients"),
        (10, "listener[1].port"),
        (14, "listener[2].port"),
    ]
    assert examined.problems[0].what.startswith("the domain has an empty label")
    assert "max_size?" in examined.problems[1].remedy
    assert "given: 5" in examined.problems[2].what
    with pytest.raises(SettingsError) as caught:
        load(file, {})
    assert caught.value.problems == examined.problems
    assert f"{file}:5: smtp.max_sizes: unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("hostnam = 'x'\n", "did you mean hostname?"),
        ("max_size = 3\n", "max_size belongs in [smtp]"),
        ("zzz = 3\n", "remove it; known here: acme, alert, auth, autoconfig, command"),
    ],
)
def test_unknown_key_gets_the_nearest_advice(file: Path, text: str, remedy: str) -> None:
    problem = the_problem(look(file, text + HOST + TLS))
    assert (problem.line, problem.what) == (1, "unknown key")
    assert problem.remedy.startswith(remedy)


def test_a_language_that_nobody_here_speaks(file: Path) -> None:
    problem = the_problem(look(file, HOST + '[queue]\ndsn_language = "tlh"\n' + TLS))
    assert "there are de, en" in problem.what
    settings = look(file, HOST + '[queue]\ndsn_language = "de-AT"\n' + TLS).settings
    assert settings is not None
    assert settings.queue.dsn_language == "de-AT"


def test_top_level_key_below_a_section(file: Path) -> None:
    problem = the_problem(look(file, HOST + TLS + 'data = "x"\n'))
    assert (problem.line, problem.key) == (5, "tls.data")
    assert problem.remedy == "data stands at the top of the file, before the first section"


def test_required_key_is_named_with_its_meaning(file: Path) -> None:
    problem = the_problem(look(file, TLS))
    assert (problem.key, problem.what, problem.line) == ("hostname", "this key is required", 0)
    assert problem.remedy.startswith("add hostname = ")
    assert problem.place == str(file)


def test_missing_key_of_a_table_points_to_its_header(file: Path) -> None:
    problem = the_problem(look(file, HOST + TLS + '\n[[listener]]\nrole = "mx"\n'))
    assert (problem.line, problem.key) == (6, "listener[1].port")


def test_bad_network_is_told_once(file: Path) -> None:
    problem = the_problem(look(file, HOST + TLS + '[smtp]\ntrusted_networks = ["10.0.0.1/8"]\n'))
    assert (problem.line, problem.key) == (6, "smtp.trusted_networks[1]")
    assert problem.what == "'10.0.0.1/8' is not a network"


def test_a_password_is_never_shown(file: Path) -> None:
    examined = look(file, HOST + TLS + '[[smarthost]]\nname="s"\nhost="h"\npassword=123456\n')
    assert "123456" not in str(the_problem(examined))


def test_syntax_error_has_line_and_column(file: Path) -> None:
    problem = the_problem(look(file, 'hostname = "a"\ndata = \n'))
    assert (problem.line, problem.column) == (2, 8)
    assert problem.place == f"{file}:2:8"
    assert "not valid TOML" in problem.what


def test_syntax_error_at_the_end(file: Path) -> None:
    problem = the_problem(look(file, 'hostname = """a'))
    assert "not valid TOML" in problem.what


def test_not_text(file: Path) -> None:
    file.write_bytes(b"hostname = '\xff'\n")
    assert "UTF-8" in the_problem(examine(file, {})).what


def test_no_file(file: Path) -> None:
    problem = the_problem(examine(file, {}))
    assert "cannot be read" in problem.what
    assert "postroom init" in problem.remedy


def test_a_huge_file_is_not_read(file: Path) -> None:
    file.write_bytes(b"#" * (5 << 20))
    assert "larger than" in the_problem(examine(file, {})).what


class TestFind:
    def test_explicit_wins(self, tmp_path: Path) -> None:
        assert find(tmp_path / "x.toml") == tmp_path / "x.toml"

    def test_here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "postroom.toml").touch()
        assert find() == Path("postroom.toml")

    def test_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SettingsError, match="postroom init"):
            find()


class TestEnvironment:
    def test_sets_and_overrides(self, file: Path) -> None:
        text = HOST + TLS + '[smtp]\nmax_size = "1MiB"\n[[smarthost]]\nname="s"\nhost="h"\nuser="u"\n'
        settings = look(
            file,
            text,
            {
                "POSTROOM_HOSTNAME": "other.example.org",
                "POSTROOM_SMTP__MAX_SIZE": "10MiB",
                "POSTROOM_SMTP__TRUSTED_NETWORKS": "10.0.0.0/8, 192.168.0.0/16",
                "POSTROOM_QUEUE__FIRST_RETRY": "60",
                "POSTROOM_OUTBOUND__TLS": "false",
                "POSTROOM_SMARTHOST__0__PASSWORD": "secret",
                "POSTROOM_LISTENER": '[{role = "mx", port = 2525}]',
                "PATH": "/bin",
            },
        ).settings
        assert settings is not None
        assert settings.hostname == "other.example.org"
        assert settings.smtp.max_size == 10 << 20
        assert [str(network) for network in settings.smtp.trusted_networks] == ["10.0.0.0/8", "192.168.0.0/16"]
        assert settings.queue.first_retry == 60
        assert settings.outbound.tls is False
        assert settings.smarthost[0].password.get_secret_value() == "secret"
        assert [(listener.role, listener.port) for listener in settings.listener] == [(Role.MX, 2525)]

    def test_reads_the_process_environment(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POSTROOM_HOSTNAME", "from.environment.example")
        file.write_text(TLS)
        assert load(file).hostname == "from.environment.example"

    def test_a_bad_value_names_the_variable(self, file: Path) -> None:
        problem = the_problem(look(file, HOST + TLS, {"POSTROOM_SMTP__MAX_SIZE": "big"}))
        assert str(problem.file) == "environment"
        assert problem.key == "POSTROOM_SMTP__MAX_SIZE (smtp.max_size)"
        assert problem.line == 0

    @pytest.mark.parametrize(
        ("name", "value", "what"),
        [
            ("POSTROOM_LISTENER__3__PORT", "1", "there is no listener[4]"),
            ("POSTROOM_LISTENER__3", "1", "there is no listener[4]"),
            ("POSTROOM_HOSTNAME__X", "1", "there is no hostname"),
            ("POSTROOM_HOSTNAME__X__Y", "1", "there is no hostname"),
            ("POSTROOM_LISTENER", "[", "not a TOML array or table"),
            ("POSTROOM_SMTP__MAX_SIZES", "1", "unknown key"),
        ],
    )
    def test_a_variable_that_fits_nowhere(self, file: Path, name: str, value: str, what: str) -> None:
        problem = the_problem(look(file, HOST + TLS + '[[listener]]\nrole="mx"\nport=0\n', {name: value}))
        assert problem.key.startswith(name)
        assert what in problem.what

    def test_an_unrelated_variable_is_only_a_warning(self, file: Path) -> None:
        """Kubernetes sets POSTROOM_SERVICE_HOST for a service called postroom."""
        warning = the_warning(look(file, HOST + TLS, {"POSTROOM_SERVICE_HOST": "10.0.0.1"}))
        assert warning.key == "POSTROOM_SERVICE_HOST"


class TestModes:
    def test_readable_secrets_are_warned_of(self, file: Path) -> None:
        folder = file.parent
        (folder / "k.pem").touch(mode=0o644)
        (folder / "pw").touch(mode=0o600)
        smarthosts = '[[smarthost]]\nname="a"\nhost="h"\nuser="u"\npassword="p"\n'
        smarthosts += '[[smarthost]]\nname="b"\nhost="h"\nuser="u"\npassword_file="pw"\n'
        file.touch(mode=0o644)
        file.chmod(0o644)
        (folder / "k.pem").chmod(0o644)
        examined = look(file, HOST + TLS + smarthosts)
        assert [(warning.file.name, warning.key) for warning in examined.warnings] == [
            ("postroom.toml", "smarthost.password"),
            ("k.pem", "tls.key"),
        ]
        assert examined.warnings[0].remedy == f"chmod 600 {file}"

    def test_closed_files_are_fine(self, file: Path) -> None:
        (file.parent / "k.pem").touch(mode=0o600)
        examined = look(file, HOST + TLS)
        assert examined.warnings == ()


def test_every_path_is_relative_to_the_file(tmp_path: Path) -> None:
    text = (
        'hostname = "mail.example.org"\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\nclient_ca = "ca.pem"\n'
        '[[tls.more]]\ncertificate = "c2.pem"\nkey = "k2.pem"\n[auth]\nfile = "users"\n[ldap]\nca_file = "l.pem"\n'
    )
    path = tmp_path / "postroom.toml"
    path.write_text(text)
    settings = load(path, {})
    assert settings.tls.client_ca == tmp_path / "ca.pem"
    assert settings.tls.more[0].certificate == tmp_path / "c2.pem"
    assert settings.tls.more[0].key == tmp_path / "k2.pem"
    assert settings.auth.file == tmp_path / "users"
    assert settings.ldap.ca_file == tmp_path / "l.pem"
    assert settings.data == tmp_path / "data"
