"""The languages that answers are in, and the command that chooses one of them: LANG (RFC 6856 §3).

What stands in an answer is written in English where it is decided, and is translated where it is sent: a report is
always in English.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

ENGLISH = "en"
LANGUAGES: Mapping[str, str] = MappingProxyType({ENGLISH: "English", "de": "Deutsch"})
"""By tag (RFC 5646), with their own names; the first is what the server prefers."""

_GERMAN: Mapping[str, str] = MappingProxyType(
    {
        "Postroom POP3 ready": "Postroom POP3 bereit",
        "bye": "auf Wiedersehen",
        "begin TLS": "TLS beginnen",
        "now the password": "jetzt das Passwort",
        "unknown command": "unbekannter Befehl",
        "not now": "jetzt nicht",
        "wrong arguments": "falsche Argumente",
        "line too long": "Zeile zu lang",
        "too many errors": "zu viele Fehler",
        "only over TLS: send STLS first": "nur mit TLS: zuerst STLS senden",
        "TLS is up already": "TLS besteht schon",
        "no TLS here": "hier gibt es kein TLS",
        "no TLS after UTF8": "kein TLS nach UTF8",
        "no such mechanism": "dieses Verfahren gibt es nicht",
        "invalid base64": "ungültiges Base64",
        "cancelled": "abgebrochen",
        "malformed response": "fehlerhafte Antwort",
        "no such message": "diese Nachricht gibt es nicht",
        "wrong name or password": "falscher Name oder falsches Passwort",
        "the mailbox is in use by another session": "das Postfach wird von einer anderen Sitzung benutzt",
        "too many failed logins, try again later": "zu viele fehlgeschlagene Anmeldungen, bitte später",
        "too many connections, try again later": "zu viele Verbindungen, später noch einmal versuchen",
        "not possible now, try again later": "jetzt nicht möglich, später noch einmal versuchen",
        "deleted messages were not removed": "gelöschte Nachrichten wurden nicht entfernt",
        "the message is gone": "die Nachricht ist nicht mehr da",
        "what there is": "was es gibt",
        "marked": "vorgemerkt",
        "UTF-8 from now on": "von jetzt an UTF-8",
        "languages": "Sprachen",
        "language changed": "Sprache gewechselt",
        "no such language": "diese Sprache gibt es nicht",
        "{} octets": "{} Oktette",
        "{} message ({} octets)": "{} Nachricht ({} Oktette)",
        "{} messages ({} octets)": "{} Nachrichten ({} Oktette)",
    }
)
_TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType({"de": _GERMAN})


def translated(text: str, language: str) -> str:
    """The text in the language; as it is where there is no translation (numbers need none)."""
    return _TEXTS.get(language, {}).get(text, text)


def choose_language(wanted: str) -> str | None:
    """The tag of ours for a language range, None if there is none; ``*`` is the one that we prefer (RFC 4647 §3.4)."""
    if wanted == "*":
        return next(iter(LANGUAGES))
    subtags = wanted.lower().split("-")
    while subtags:
        tag = "-".join(subtags)
        if tag in LANGUAGES:
            return tag
        subtags.pop()
    return None


def listing() -> Iterable[str]:
    """The language listings (RFC 6856 §3.2)."""
    return [f"{tag} {name}" for tag, name in LANGUAGES.items()]
