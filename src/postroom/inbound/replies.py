"""What a session says that does not depend on anything (RFC 5321 §4.2.3, RFC 3463 §3)."""

from postroom.mail.reply import Reply

OK = Reply.of(250, "2.0.0", "OK")
SENDER_OK = Reply.of(250, "2.1.0", "Sender OK")
PRIORITY_LOWERED = Reply.of(250, "2.3.6", "0 is the priority: a higher one needs authentication")  # RFC 6710 §4.1
RECIPIENT_OK = Reply.of(250, "2.1.5", "Recipient OK")
GO_AHEAD = Reply.of(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply.of(220, "2.0.0", "Ready to start TLS")
BYE = Reply.of(221, "2.0.0", "Bye")
CANNOT_VERIFY = Reply.of(252, "2.1.5", "Cannot verify, but will take the message and try to deliver it")
NO_EXPANSION = Reply.of(502, "5.5.1", "Lists are not expanded here")
NO_AUTH = Reply.of(502, "5.5.1", "AUTH is not offered")
STORE_FULL = Reply.of(452, "4.3.1", "No space left here, please try again later")
TROUBLE = Reply.of(451, "4.3.0", "A problem on this side, please try again later")
NO_ANSWER = Reply.of(451, "4.4.3", "A lookup failed, please try again later")
TOO_SLOW = Reply.of(421, "4.4.2", "Timeout, closing the connection")
FAILING = Reply.of(421, "4.3.0", "A problem on this side, please connect again")
DRAINING = Reply.of(421, "4.3.2", "The server is going down, please connect again")
