"""Sockets are bound all or none, taken over where the service manager opened them, and explained where they fail."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from postroom.config.model import ListenerSettings
from postroom.mail.session import Role
from postroom.net.sockets import BindError, Inherited, Opened, TcpSocket, bind, inherited_sockets, open_listeners


def settings(*addresses: str, port: int = 0, role: Role = Role.MX) -> ListenerSettings:
    return ListenerSettings(role=role, addresses=addresses or ("127.0.0.1",), port=port)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def close_all(opened: tuple[Opened, ...]) -> None:
    for each in opened:
        each.close()


def test_each_address_is_bound_and_the_system_chooses_ports() -> None:
    opened = open_listeners([settings("127.0.0.1", "127.0.0.2"), settings(role=Role.POP3)])
    assert [[address for address, _ in each.addresses] for each in opened] == [
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.1"],
    ]
    assert all(port > 0 for each in opened for _, port in each.addresses)
    close_all(opened)


def test_ipv4_and_ipv6_share_a_port() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    opened = open_listeners([settings("0.0.0.0", "::", port=port)])
    assert {address for address, _ in opened[0].addresses} <= {"0.0.0.0", "::"}
    close_all(opened)


def test_a_port_in_use_names_address_port_and_remedy(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with pytest.raises(BindError, match=f"127.0.0.1 port {port} for mx: .*another program listens there"):
        open_listeners([settings(), settings(port=port)])


def test_what_was_bound_before_the_failure_is_free_again(taken: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(BindError):
        open_listeners([settings(port=port), settings(port=taken.getsockname()[1])])
    close_all(open_listeners([settings(port=port)]))


def test_an_address_of_another_machine() -> None:
    with pytest.raises(BindError, match=r"192\.0\.2\.1 port 0 for mx: .*does not have that address"):
        open_listeners([settings("192.0.2.1")])


def test_text_that_is_no_address() -> None:
    with pytest.raises(BindError, match="correct addresses"):
        open_listeners([settings("no such host.invalid")])


def test_a_low_port_without_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(_: socket.socket, address: tuple[str, int]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(BindError, match="start as root"):
        open_listeners([settings(port=25)])


def test_a_listener_without_addresses() -> None:
    with pytest.raises(BindError, match="has no address"):
        open_listeners([ListenerSettings(role=Role.MX, addresses=(), port=0)])


def test_a_machine_without_ipv6_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.bind

    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        if ":" in address[0]:
            raise OSError(99, "Cannot assign requested address")
        real(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    opened = open_listeners([settings("127.0.0.1", "::1")])
    assert len(opened[0].sockets) == 1
    close_all(opened)
    with pytest.raises(BindError, match=r"\[::1\] port 0"):
        open_listeners([settings("::1")])


def test_sockets_of_the_service_manager_are_taken_by_name_or_port() -> None:
    named, by_port, stray = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    port = by_port.getsockname()[1]
    opened = open_listeners(
        [settings(port=2), settings(port=port, role=Role.POP3)],
        [Inherited("mx", named), Inherited("something", by_port), Inherited("", stray)],
    )
    assert opened[0].sockets == (named,)
    assert opened[1].sockets == (by_port,)
    assert stray.fileno() == -1
    close_all(opened)


def test_sockets_for_another_process_are_not_touched() -> None:
    assert inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "3"}, 2) == ()
    assert inherited_sockets({}, 2) == ()


def test_inherited_sockets_start_at_three(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        copy = os.dup(listening.fileno())
        monkeypatch.setattr("postroom.net.sockets._FIRST_INHERITED", copy)
        environment = {"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mx"}
        (found,) = inherited_sockets(environment, 7)
        assert found.name == "mx"
        assert found.socket.getsockname() == listening.getsockname()
        assert not os.get_inheritable(copy)
        found.socket.close()


def test_a_connection_knows_what_it_is_without_asking() -> None:
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as other:
        listening.setblocking(True)
        connection, name = listening.accept()
        with connection:
            assert name == other.getsockname()
            assert connection.family is listening.family is socket.AF_INET
            assert connection.type is listening.type is socket.SOCK_STREAM
            with TcpSocket(fileno=connection.detach()) as found, found.dup() as twin:
                assert found.family is twin.family is socket.AF_INET
                assert twin.getpeername() == name
