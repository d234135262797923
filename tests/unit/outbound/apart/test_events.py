"""Events cross the wire unchanged; whatever else the child says, nothing but WireError comes of it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.cause import Cause
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, Failed, Peer
from postroom.mail.reply import Reply
from postroom.net.apart.frames import WireError
from postroom.outbound.apart.events import (
    Answered,
    Event,
    Faulted,
    Met,
    Ready,
    Said,
    read_events,
    write_event,
    write_events,
)
from postroom.outbound.tlsmet import NO_POLICY, AppliedPolicy, TlsMet
from postroom.outbound.tlsstore import TlsLevel

PEER = Peer("mx.example.org", "192.0.2.1", 25, "TLSv1.3 AES", "dane", "192.0.2.71")
LATER = Reply(451, "4.3.0", ("one line", "grüße"))
EVENTS: list[Event] = [
    Answered(1, {1: Delivered(Reply.of(250, "2.0.0", "ok"), PEER, True, True, "detail")}),
    Answered((1 << 62), {3: Deferred(LATER, PEER, True, "why", Cause.GREYLISTED, 1234.5), 4: Deferred(LATER)}),
    Answered(3, {0: Failed(Reply.of(550, "", ""), NO_PEER, "why", Cause.MAILBOX_UNKNOWN)}),
    Answered(4, {}),
    Met(
        TlsMet(
            "site", ("a.example", "b.example"), AppliedPolicy("sts", ("version: STSv1",), ("mx.example.org",)), PEER,
            TlsLevel.VERIFIED, "certificate-expired", "it ended", True,
        )
    ),
    Met(TlsMet("site", (), NO_POLICY, NO_PEER)),
    Faulted(5, "ValueError('x')", "Traceback"),
    Said("asyncio", 30, "slow"),
    Ready(),
    Ready("no such file"),
]  # fmt: skip


def test_all_of_them() -> None:
    assert read_events(write_events([write_event(event) for event in EVENTS])) == EVENTS


def test_a_text_that_is_not_unicode() -> None:
    (found,) = read_events(write_events([write_event(Faulted(1, "no file \udcff", ""))]))
    assert found == Faulted(1, "no file ?", "")


def test_a_peer_that_is_known_is_checked_all_the_same() -> None:
    wire = '[["o",1,[1,"d",[250,"",["x"]],["h","a",%s,"","",""],false,false,""]]]'
    (found,) = read_events((wire % "1").encode())
    assert isinstance(found, Answered)
    assert found.outcomes[1].peer == Peer("h", "a", 1)
    with pytest.raises(WireError):
        read_events((wire % "true").encode())


GARBAGE = [
    b"",
    b"\xff",
    b"{}x",
    b"7",
    b"[7]",
    b"[[]]",
    b'[["z"]]',
    b'[["o"]]',
    b'[["o","1"]]',
    b'[["o",true]]',
    b'[["o",1,[1]]]',
    b'[["o",1,[1,"d",[99,"",["x"]],null,false,false,""]]]',
    b'[["o",1,[1,"d",[250,"",[]],null,false,false,""]]]',
    b'[["o",1,[1,"d",[250,"","xy"],null,false,false,""]]]',
    b'[["o",1,[1,"d",[250,"",["x"]],null,0,false,""]]]',
    b'[["o",1,[1,"x",[250,"",["x"]],null,false,false,""]]]',
    b'[["o",1,[1,"f",[550,"",["x"]],null,"","no cause"]]]',
    b'[["o",1,[1,"f",[550,"",["x"]],["h","a","25","","",""],"","other"]]]',
    b'[["o",1,[1,"f",[550,"",["x"]],["h","a",25,"","",[]],"","other"]]]',
    b'[["o",1,[1,"l",[450,"",["x"]],null,false,"","other","soon"]]]',
    b'[["o",1,[1,"l",[450,"",["x"]],null,false,7,"other",null]]]',
    b'[["t","site",[],["no-policy-found",[],[7]],null,null,"","",false]]',
    b'[["t","site",[],["no-policy-found",[],[]],null,"best","","",false]]',
    b'[["r",""," "]]',
    b'[["r"]]]',
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(WireError):
        read_events(garbage)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 700)
    | st.floats(allow_nan=False)
    | st.sampled_from(["o", "t", "d", "l", "f", "x"]),
    lambda inner: st.lists(inner, max_size=6),
)


@given(st.lists(_JSON, max_size=3))
def test_any_json(values: list[object]) -> None:
    try:
        found = read_events(orjson.dumps(values))
    except WireError:
        return
    assert read_events(write_events([write_event(event) for event in found])) == found


@given(st.binary(max_size=60))
def test_any_octets(data: bytes) -> None:
    try:
        read_events(data)
    except WireError:
        return
    assert data.strip() == b"[]"
