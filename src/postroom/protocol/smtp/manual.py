"""What HELP says: the commands, and a line on each of them (RFC 5321 §4.1.1.8). It tells nothing about this site."""

from collections.abc import Mapping

from postroom.mail.reply import Reply
from postroom.protocol.smtp import replies

_TOPICS: Mapping[str, str] = {
    "EHLO": "EHLO domain: who you are, and what can be done here (RFC 5321 section 4.1.1.1)",
    "HELO": "HELO domain: the same for programs that know no extensions (RFC 5321 section 4.1.1.1)",
    "LHLO": "LHLO domain: who you are, and what can be done here (RFC 2033 section 4.1)",
    "MAIL": "MAIL FROM:<address> parameters: a message begins; <> for none (RFC 5321 section 4.1.1.2)",
    "RCPT": "RCPT TO:<address> parameters: one recipient of it (RFC 5321 section 4.1.1.3)",
    "DATA": "DATA: the message follows, and a line with one dot ends it (RFC 5321 section 4.1.1.4)",
    "BDAT": "BDAT octets LAST: so many octets of the message follow at once (RFC 3030 section 2)",
    "RSET": "RSET: drop the message that was begun (RFC 5321 section 4.1.1.5)",
    "NOOP": "NOOP: nothing (RFC 5321 section 4.1.1.9)",
    "HELP": "HELP command: this (RFC 5321 section 4.1.1.8)",
    "VRFY": "VRFY address: answered without telling who is here (RFC 5321 section 3.5.3)",
    "EXPN": "EXPN list: not done here (RFC 5321 section 3.5.3)",
    "ETRN": "ETRN domain: try what waits for it, where EHLO lists it (RFC 1985)",
    "STARTTLS": "STARTTLS: go on under TLS (RFC 3207 section 4)",
    "AUTH": "AUTH mechanism: log in, where EHLO lists it (RFC 4954 section 4)",
    "QUIT": "QUIT: the end (RFC 5321 section 4.1.1.10)",
}


def explain(topic: str, *, lmtp: bool) -> Reply:
    """What HELP with that argument is answered; 504 where there is nothing to say."""
    foreign = {"EHLO", "HELO"} if lmtp else {"LHLO"}
    word = topic.upper()
    if not word:
        verbs = " ".join([verb for verb in _TOPICS if verb not in foreign])
        return Reply(214, "2.0.0", (f"Commands: {verbs}", "HELP and a command says more; RFC 5321 says all"))
    line = None if word in foreign else _TOPICS.get(word)
    return replies.NO_TOPIC if line is None else Reply.of(214, "2.0.0", line)
