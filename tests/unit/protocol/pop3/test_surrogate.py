"""What a client that has not asked for UTF-8 sees of an internationalised message (RFC 6858)."""

from email import message_from_bytes, policy

import pytest

from postroom.protocol.pop3.surrogate import MAX_FIELD, Surrogate, conventional


def surrogate(message: str | bytes) -> bytes:
    made = Surrogate()
    return made.add(message.encode() if isinstance(message, str) else message) + made.end()


def read(field: str) -> object:
    """The field as a mail client understands it, unfolded and decoded."""
    made = conventional(field.encode() + b"\r\n")
    assert made.isascii()
    assert max(map(len, made.split(b"\r\n"))) <= 78
    message = message_from_bytes(made + b"\r\n", policy=policy.default)
    (value,) = message.values()
    return value


class TestAddresses:
    """RFC 6858 §2.1."""

    @pytest.mark.parametrize("name", ["From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Resent-To", "RETURN-PATH"])
    def test_an_internationalised_address_is_nobodys(self, name: str) -> None:
        value = str(read(f"{name}: Fred Foo <fréd@bücher.example>"))
        assert "fréd@bücher.example" in value
        assert value.endswith("<invalid@internationalized-address.invalid>")

    def test_a_name_alone_is_encoded(self) -> None:
        (address,) = read('To: "Jürgen, der \\"Große\\"" <j@b.example>').addresses  # type: ignore[attr-defined]
        assert (address.display_name, address.addr_spec) == ('Jürgen, der "Große"', "j@b.example")

    def test_the_others_stay(self) -> None:
        value = read('To: ann@a.example, "Doe, J." <j@b.example> (who),\r\n ü@c.example, B <b@b.example>')
        kept = [address.addr_spec for address in value.addresses]  # type: ignore[attr-defined]
        assert kept == ["ann@a.example", "j@b.example", "invalid@internationalized-address.invalid", "b@b.example"]

    def test_groups(self) -> None:
        value = read("To: Bücher: a@b.example, ü@b.example;, c@d.example")
        groups = value.groups  # type: ignore[attr-defined]
        assert groups[0].display_name == "Bücher"
        assert groups[0].addresses[0].addr_spec == "a@b.example"
        assert groups[1].addresses[0].addr_spec == "c@d.example"

    def test_what_is_no_address(self) -> None:
        for text in ('"ü', "(ü", "<ü", "ü:", ",ü,", "\\", '"\\ü'):
            assert conventional(f"To: {text}\r\n".encode()).isascii()


class TestFields:
    def test_subject(self) -> None:
        # RFC 6858 §2.3, RFC 2047 §2, §4.1, §5
        long = "Grüße aus Köln, und noch viel mehr Wörter, als auf eine Zeile gehen: " + "ü" * 50
        assert str(read(f"Subject: {long}")) == long

    def test_octets_that_are_no_utf_8(self) -> None:
        assert conventional(b"Subject: caf\xe9\r\n").isascii()

    def test_parameters(self) -> None:
        # RFC 6858 §2.2
        field = 'Content-Disposition: attachment; filename="Bücher; zwei.txt"; size=3'
        assert conventional(field.encode()) == b"Content-Disposition: attachment;\r\n\tsize=3\r\n"
        assert conventional("Content-Type: tëxt/plain; charset=utf-8\r\n".encode()) == b""
        assert conventional("Content-Type: ;ü\r\n".encode()) == b""

    @pytest.mark.parametrize("field", ["Comments: ü", "Message-ID: <ü@b.example>", "Überschrift: x", "no field, ü"])
    def test_the_rest_is_left_out(self, field: str) -> None:
        # RFC 6858 §2.4
        assert conventional(field.encode()) == b""


class TestMessages:
    def test_in_ascii_it_is_the_message(self) -> None:
        message = b"From: a@b.example\nSubject:  two\r\n\tlines \r\n\r\n\xff\x00 body \r\n"
        assert surrogate(message) == message

    def test_bodies_go_as_they_are(self) -> None:
        assert surrogate("Subject: x\r\nX: ü\r\n\r\nX: ü\r\n") == "Subject: x\r\n\r\nX: ü\r\n".encode()

    def test_parts(self) -> None:
        message = (
            'Content-Type: multipart/mixed; boundary="one.two"\r\n\r\nX: ü preamble\r\n--one.two\r\n'
            "Content-Type: text/plain; name=ü\r\n\r\n--one-two\r\nX: ü\r\n--one.two  \r\n"
            "Content-Type: message/rfc822\r\n\r\nSubject: ü\r\nX: ü\r\n\r\nX: ü\r\n--one.two--\r\nX: ü\r\n"
        )
        assert surrogate(message).decode() == (
            'Content-Type: multipart/mixed; boundary="one.two"\r\n\r\nX: ü preamble\r\n--one.two\r\n'
            "Content-Type: text/plain\r\n\r\n--one-two\r\nX: ü\r\n--one.two  \r\n"
            "Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?B?w7w=?=\r\n\r\nX: ü\r\n--one.two--\r\nX: ü\r\n"
        )

    def test_a_message_that_ends_in_its_header(self) -> None:
        assert surrogate("X: ü\r\nSubject: ü") == b"Subject: =?utf-8?B?w7w=?=\r\n"
        assert surrogate("Subject: x\r\nSubj") == b"Subject: x\r\nSubj"
        assert surrogate(b"") == b""

    def test_a_message_that_ends_in_what_may_be_a_delimiter(self) -> None:
        message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b"
        assert surrogate(message) == message

    def test_boundaries_are_bounded(self) -> None:
        message = "".join([f"Content-Type: multipart/mixed; boundary=b{n}\r\n" for n in range(200)])
        assert surrogate(f"{message}\r\n--b99\r\nX: ü\r\n\r\n--b100\r\nX: ü\r\n").endswith(
            "--b99\r\n\r\n--b100\r\nX: ü\r\n".encode()
        )

    @pytest.mark.parametrize("pieces", [1, 1000])
    @pytest.mark.parametrize("field", ["X: {}\r\n", "X: ü\r\n {}\r\n", "X: ü\r\n{}"])
    def test_a_field_that_is_too_long_to_be_kept(self, field: str, pieces: int) -> None:
        body = "é" * MAX_FIELD if "{}" in field and not field.endswith("{}") else " é é\r\n" * MAX_FIELD
        message = ("A: b\r\n" + field.format(body) + " ü\r\nSubject: ü\r\n\r\nü").encode()
        made = Surrogate()
        size = len(message) // pieces
        sent = b"".join([made.add(message[at : at + size]) for at in range(0, len(message), size)]) + made.end()
        assert sent == surrogate(message)
        assert sent.startswith(b"A: b\r\nX: ")
        assert sent.endswith(b" ??\r\nSubject: =?utf-8?B?w7w=?=\r\n\r\n\xc3\xbc")
        assert sent[:-2].isascii()
