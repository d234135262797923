"""The sources file and callable, and LDAP's way of writing names."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.clock import ManualClock
from tests.fakes.credential_house import HASH, OTHER_HASH

from postroom.directory.hashing import HashThreads
from postroom.directory.passwords import prepare_password
from postroom.directory.sources.file import LOOK_SECONDS, FileSource, read_password_file
from postroom.directory.sources.function import Function, FunctionSource, load_function
from postroom.directory.sources.ldapnames import escape_dn, escape_filter, fill_dn, fill_filter
from postroom.directory.sources.source import Claim, SourceUnavailable
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import Password
from postroom.report.events import InternalError, Report, SourceTrouble
from postroom.report.reporter import Reporter

CRYPT = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"  # of "Hello world!"


def claim(address: str, password: str) -> Claim:
    return Claim(Address.parse(address), Password(password), prepare_password(password))


class FileHouse:
    """The file and who reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "passwords"
        self.clock = ManualClock()
        self.reports: list[Report] = []
        self.threads = HashThreads(1)
        self.source = FileSource(self.path, self.threads, self.clock, Reporter([self.reports.append]))

    async def write(self, text: str) -> None:
        self.path.write_text(text, "utf-8")
        await self.clock.pass_time(LOOK_SECONDS)

    def told(self) -> list[str]:
        return [report.trouble for report in self.reports if isinstance(report, SourceTrouble)]


class TestFile:
    @pytest.fixture
    async def house(self, tmp_path: Path) -> AsyncIterator[FileHouse]:
        house = FileHouse(tmp_path)
        yield house
        await house.source.close()
        house.threads.close()

    async def test_knows_whose_lines_it_has(self, house: FileHouse) -> None:
        await house.write(f"# people\n\nanna@example.org:{HASH}\n  Bert@Example.ORG:{CRYPT}  \n")
        assert await house.source.verify(claim("anna@example.org", "secret")) is True
        assert await house.source.verify(claim("ANNA@example.org", "wrong")) is False
        assert await house.source.verify(claim("bert@example.org", "Hello world!")) is True
        assert await house.source.verify(claim("bert@example.org", "hello world!")) is False
        assert await house.source.verify(claim("zoe@example.org", "secret")) is None
        await house.source.imitate(claim("zoe@example.org", "secret"))
        assert house.reports == []

    async def test_is_read_anew_when_it_changes(self, house: FileHouse) -> None:
        await house.write(f"anna@example.org:{HASH}\n")
        mark = await house.source.mark(claim("anna@example.org", "secret"))
        await house.write(f"anna@example.org:{OTHER_HASH}\n")
        assert await house.source.verify(claim("anna@example.org", "secret")) is False
        assert await house.source.verify(claim("anna@example.org", "other")) is True
        assert await house.source.mark(claim("anna@example.org", "secret")) != mark
        await house.write("")
        assert await house.source.verify(claim("anna@example.org", "other")) is None
        await house.source.imitate(claim("zoe@example.org", "secret"))

    async def test_bad_lines_are_told_with_their_place_and_without_their_content(self, house: FileHouse) -> None:
        await house.write(
            "anna@example.org\nanna:$5$x\nanna@example.org:topsecret\nroot:$1$a$b\npostmaster:" + CRYPT + "\n"
            f"anna@example.org:{HASH}\nANNA@example.org:{OTHER_HASH}\n"
        )
        assert await house.source.verify(claim("anna@example.org", "secret")) is True
        places = [text.partition(": ")[0] for text in house.told()]
        assert places == [f"{house.path}:{number}" for number in (1, 2, 3, 4, 5, 7)]
        assert "topsecret" not in str(house.told())
        await house.clock.pass_time(LOOK_SECONDS)
        await house.source.verify(claim("anna@example.org", "secret"))
        assert len(house.told()) == 6

    async def test_many_bad_lines_do_not_fill_the_log(self, house: FileHouse) -> None:
        await house.write("bad\n" * 1000)
        await house.source.verify(claim("anna@example.org", "secret"))
        assert len(house.told()) == 21
        assert "980 more lines" in house.told()[-1]

    async def test_one_that_cannot_be_read_is_no_refusal(self, house: FileHouse) -> None:
        for _ in range(3):
            with pytest.raises(SourceUnavailable, match="cannot be read"):
                await house.source.verify(claim("anna@example.org", "secret"))
            await house.clock.pass_time(LOOK_SECONDS)
        assert len(house.told()) == 1
        await house.write(f"anna@example.org:{HASH}\n")
        assert await house.source.verify(claim("anna@example.org", "secret")) is True
        house.path.unlink()
        await house.clock.pass_time(LOOK_SECONDS)
        assert await house.source.verify(claim("anna@example.org", "secret")) is True
        assert len(house.told()) == 2

    def test_a_huge_one_is_a_mistake(self, tmp_path: Path) -> None:
        path = tmp_path / "passwords"
        with path.open("wb") as file:
            file.truncate(65 << 20)
        with pytest.raises(OSError, match="larger"):
            read_password_file(path)


class TestFunction:
    @pytest.fixture
    def reports(self) -> list[Report]:
        return []

    def source(self, function: Function, reports: list[Report], longest: float = 5.0) -> FunctionSource:
        return FunctionSource(function, Reporter([reports.append]), longest=longest)

    async def test_a_plain_one_runs_in_a_thread(self, reports: list[Report]) -> None:
        threads = set()

        def check(address: str, password: str) -> bool | None:
            threads.add(threading.current_thread())
            return password == "secret" if address == "anna@example.org" else None

        source = self.source(check, reports)
        assert await source.verify(claim("anna@example.org", "secret")) is True
        assert await source.verify(claim("anna@example.org", "wrong")) is False
        assert await source.verify(claim("bert@example.org", "secret")) is None
        assert await source.mark(claim("anna@example.org", "secret")) is None  # type: ignore[func-returns-value]
        assert threading.main_thread() not in threads
        await source.close()

    async def test_an_async_one_runs_in_the_loop(self, reports: list[Report]) -> None:
        class Check:
            async def __call__(self, address: str, password: str) -> bool:
                assert threading.current_thread() is threading.main_thread()
                await asyncio.sleep(0)
                return password == "secret"

        async def check(address: str, password: str) -> bool:
            return await Check()(address, password)

        for function in (check, Check()):
            source = self.source(function, reports)
            assert await source.verify(claim("anna@example.org", "secret")) is True
            await source.imitate(claim("anna@example.org", "secret"))
            await source.close()

    async def test_what_it_raises_is_no_refusal_and_quotes_nothing(self, reports: list[Report]) -> None:
        def check(address: str, password: str) -> bool:
            raise RuntimeError(f"no {password}")

        source = self.source(check, reports)
        with pytest.raises(SourceUnavailable, match="RuntimeError") as raised:
            await source.verify(claim("anna@example.org", "topsecret"))
        (report,) = reports
        assert isinstance(report, InternalError)
        assert "test_sources.py" in report.trace
        assert "topsecret" not in repr(report) + str(raised.value)
        await source.close()

    async def test_an_answer_that_is_none_of_the_three(self, reports: list[Report]) -> None:
        source = self.source(lambda address, password: "yes", reports)  # type: ignore[arg-type,return-value]
        with pytest.raises(SourceUnavailable, match="True, False or None"):
            await source.verify(claim("anna@example.org", "secret"))
        await source.close()

    async def test_one_that_hangs_is_not_waited_for(self, reports: list[Report]) -> None:
        go = threading.Event()
        source = self.source(lambda address, password: go.wait(20), reports, longest=0.05)
        with pytest.raises(SourceUnavailable, match="did not answer"):
            await source.verify(claim("anna@example.org", "secret"))
        go.set()
        await source.close()

    def test_loading(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "site_logins.py").write_text(
            "def check(a, p): return p == 'x'\nclass C:\n  check = staticmethod(check)\n"
        )
        (tmp_path / "site_broken.py").write_text("1 / 0\n")
        monkeypatch.syspath_prepend(tmp_path)
        assert load_function("site_logins:check")("a", "x") is True
        assert load_function("site_logins:C.check")("a", "y") is False
        for name, says in (
            ("site_logins", "package.module:function"),
            ("site_logins:missing", "cannot be imported"),
            ("site_missing:check", "PYTHONPATH"),
            ("site_broken:check", "ZeroDivisionError"),
            ("site_logins:__name__", "is no function"),
        ):
            with pytest.raises(ValueError, match=says):
                load_function(name)
        sys.modules.pop("site_logins", None)


class TestLdapNames:
    """Nothing that a client writes changes what a DN or a filter means (RFC 4514 §2.4, RFC 4515 §3)."""

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("anna", "anna"),
            ("a,dc=evil", "a\\2cdc\\3devil"),
            ('+"<>;\\', "\\2b\\22\\3c\\3e\\3b\\5c"),
            ("#a", "\\23a"),
            (" a ", "\\20a\\20"),
            (" ", "\\20"),
            ("a\0b\nc", "a\\00b\\0ac"),
            ("j\u00fcrgen", "j\u00fcrgen"),
            ("", ""),
        ],
    )
    def test_dn(self, text: str, written: str) -> None:
        assert escape_dn(text) == written

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("anna", "anna"),
            ("*", "\\2a"),
            ("a)(uid=*", "a\\29\\28uid=\\2a"),
            ("\\", "\\5c"),
            ("\0", "\\00"),
            ("\u00e9", "\u00e9"),
        ],
    )
    def test_filter(self, text: str, written: str) -> None:
        assert escape_filter(text) == written

    def test_placeholders_are_filled_once(self) -> None:
        address = Address("{domain},x", "example.org")
        assert fill_dn("uid={local},dc={domain}", address) == "uid={domain}\\2cx,dc=example.org"
        odd = Address("a)(*", "example.org")
        assert fill_filter("(&(mail={address})(uid={local}))", odd) == (
            '(&(mail="a\\29\\28\\2a"@example.org)(uid=a\\29\\28\\2a))'
        )
