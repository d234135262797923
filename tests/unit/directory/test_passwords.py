"""What is kept of passwords (RFC 8265 §4.2, RFC 5802 §3, RFC 7677 §3)."""

import pytest
from scramp import ScramMechanism  # type: ignore[import-untyped]  # it has no types

from postroom.directory.model import AppPassword, Logins, ScramKey
from postroom.directory.passwords import (
    ITERATIONS,
    NOBODYS_HASH,
    HashTrouble,
    hash_password,
    is_hash,
    new_password,
    nobodys_secret,
    prepare_password,
    scram_keys,
    scram_salt,
    verify_password,
)
from postroom.mail.address import Address

HASH = hash_password("secret")
SECRET = bytes(range(32))
ANNA = Address.parse("anna@example.org")


def test_hash_and_verify() -> None:
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password("secret") != HASH
    assert verify_password(HASH, b"secret")
    assert not verify_password(HASH, b"Secret")
    assert not verify_password(NOBODYS_HASH, b"secret")


def test_a_damaged_hash_is_our_trouble() -> None:
    for damaged in ("", "secret", "$argon2id$v=19$m=19456,t=2,p=1$xx", "$6$salt$short", "$5$"):
        with pytest.raises(HashTrouble):
            verify_password(damaged, b"secret")


def test_one_form_however_it_was_typed() -> None:
    assert prepare_password("pa\u0308ss\u00a0word") == prepare_password("p\u00e4ss word")
    assert prepare_password("Pass Word ") == b"Pass Word "


@pytest.mark.parametrize("text", ["", "a\0b", "a\nb", "\x85", "x" * 1025, "\u00fc" * 513, "\udc80"])
def test_what_cannot_be_one(text: str) -> None:
    with pytest.raises(ValueError, match="the password"):
        hash_password(text)


class TestScramKeys:
    def test_are_those_of_the_standard(self) -> None:
        """Another library makes the same of a password (RFC 5802 §3, RFC 7677 §3)."""
        (sha256, sha1) = scram_keys("pencil", ANNA.key, SECRET, Logins())
        for key, mechanism in ((sha256, "SCRAM-SHA-256"), (sha1, "SCRAM-SHA-1")):
            oracle = ScramMechanism(mechanism)
            _, stored, server, _ = oracle.make_auth_info("pencil", iteration_count=key.iterations, salt=key.salt)
            assert (key.stored_key, key.server_key) == (stored, server)

    def test_salts_are_long_and_their_owners_own(self) -> None:
        salts = {
            scram_salt(algorithm, key, secret)
            for algorithm in ("SHA-256", "SHA-1")
            for key in ("anna@example.org", "bert@example.org")
            for secret in (SECRET, bytes(32))
        }
        assert len(salts) == 8
        assert {len(salt) for salt in salts} == {16}
        assert ITERATIONS >= 4096  # RFC 7677 §3

    def test_what_is_one_password_for_plain_is_one_for_scram(self) -> None:
        typed, other = "pa\u0308ss\u00a0wo\u0308rd", "p\u00e4ss w\u00f6rd"
        assert prepare_password(typed) == prepare_password(other)
        assert scram_keys(typed, "k", SECRET, Logins()) == scram_keys(other, "k", SECRET, Logins())

    @pytest.mark.parametrize("text", ["\u0627\u0031", "\ue000 private"])
    def test_what_saslprep_prohibits_is_for_plain_alone(self, text: str) -> None:
        """RFC 5802 §2.2, RFC 4013 §2.3."""
        new = new_password(text, ANNA, SECRET, Logins())
        assert verify_password(new.hash, prepare_password(text))
        assert new.keys == ()

    def test_app_passwords_keep_their_iterations_and_so_does_what_joins_them(self) -> None:
        old = ScramKey("SHA-256", scram_salt("SHA-256", ANNA.key, SECRET), 4096, b"s", b"k")
        logins = Logins((), (AppPassword(1, "phone", (), b"", 0.0, None, (old,)),))
        (sha256, sha1) = new_password("secret", ANNA, SECRET, logins).keys
        assert (sha256.salt, sha256.iterations) == (old.salt, 4096)
        assert sha1.iterations == ITERATIONS
        (alone, _) = new_password("secret", ANNA, SECRET, Logins((old,))).keys
        assert alone.iterations == ITERATIONS

    def test_nothing_shows_them(self) -> None:
        new = new_password("secret", ANNA, SECRET, Logins())
        shown = repr(new) + repr(Logins(new.keys)) + repr(new.keys) + repr(nobodys_secret("SHA-1", "k", SECRET))
        assert "stored_key" not in shown
        assert "argon2" not in shown


# Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512": the test cases of the specification.
VECTORS = [
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    ("This is just a test", "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
    (
        "a very much longer text to encrypt.  This one even stretches over morethan one line.",
        "$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
    ),
    (
        "we have a short salt string but not a short password",
        "$5$rounds=77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
    ),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "a very much longer text to encrypt.  This one even stretches over morethan one line.",
        "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiD"
        "wGqd8p4ur1",
    ),
    (
        "we have a short salt string but not a short password",
        "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
    ),
]


class TestCrypt:
    @pytest.mark.parametrize(("text", "stored"), VECTORS)
    def test_vectors(self, text: str, stored: str) -> None:
        assert is_hash(stored)
        assert verify_password(stored, text.encode())
        assert not verify_password(stored, text.encode() + b"x")

    @pytest.mark.parametrize(
        "stored",
        [
            "$5$rounds=999$salt$" + "x" * 43,
            "$5$rounds=1000001$salt$" + "x" * 43,
            "$6$salt$" + "x" * 85,
            "$6$salt" + "x" * 86,
            "$1$salt$hash",
            "$y$j9T$salt$hash",
            "{PLAIN}secret",
            "",
        ],
    )
    def test_what_is_none(self, stored: str) -> None:
        assert not is_hash(stored)
