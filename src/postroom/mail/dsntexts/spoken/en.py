"""English."""

from postroom.mail import status
from postroom.mail.cause import Cause
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.notice import Action

_TELL_POSTMASTER = "Tell your postmaster, and enclose this report; it is nothing that you can mend yourself."
_LATER = "Send the message again later."
_SMALLER = "Make the message smaller, for example with fewer attachments, and send it again."

_ADVICE = {
    "0": "Reach the recipient by other means, or ask your postmaster what the answer above means.",
    "1": "Check the address for mistakes, and send the message again.",
    "2": "Reach the recipient by other means: the mailbox takes no mail at present.",
    "3": "Send the message again later, or tell the recipient's postmaster.",
    "4": "Send the message again later; nobody has answered so far.",
    "5": "Tell your postmaster: the mail systems did not understand each other.",
    "6": "Send the message again in a simpler form, for example as plain text.",
    "7": "Ask the recipient by other means, or the recipient's postmaster, why the mail is refused.",
    status.BAD_SYSTEM: "Check what stands after the @ of the address, and send the message again.",
    status.NULL_MX: "Check what stands after the @ of the address: that domain takes no mail.",
    status.MAILBOX_FULL: "Ask the recipient by other means to make room, and send the message again.",
    status.MESSAGE_TOO_BIG: _SMALLER,
    status.MESSAGE_TOO_LONG_FOR_MAILBOX: _SMALLER,
    status.UTF8_NOT_SUPPORTED: "Use an address without international characters, for the recipient and for yourself.",
    status.LOOP: "Tell your postmaster: the mail systems pass the message to each other in circles.",
    status.EXPIRED: "Reach the recipient by other means, or send the message again later.",
    status.REQUIRETLS_MISSING: "Send the message again without requiring TLS, if it may travel unprotected.",
}

TEXTS = Texts(
    language="en",
    subjects={
        Action.FAILED: "Your message could not be delivered",
        Action.DELAYED: "Your message is delayed",
        Action.EXPANDED: "Your message was passed on to a list of recipients",
        Action.RELAYED: "Your message was passed on",
        Action.DELIVERED: "Your message was delivered",
    },
    host="This is the mail system at {host}.",
    postmaster="You are told as the postmaster: the message has the null sender, so nobody else can be.",
    headings={
        Action.FAILED: (
            "Your message could NOT be delivered to this recipient. Nothing more will be tried.",
            "Your message could NOT be delivered to these recipients. Nothing more will be tried for them.",
        ),
        Action.DELAYED: (
            "Your message could not be delivered to this recipient YET.\n"
            "This is a warning only: it is tried again, and you need not send it again.",
            "Your message could not be delivered to these recipients YET.\n"
            "This is a warning only: it is tried again, and you need not send it again.",
        ),
        Action.EXPANDED: (
            "Your message was passed on to everyone behind this address:",
            "Your message was passed on to everyone behind these addresses:",
        ),
        Action.RELAYED: (
            "Your message was passed on to the next mail system for this recipient.\n"
            "That system may not report deliveries or delays, so you may hear no more of it.",
            "Your message was passed on to the next mail system for these recipients.\n"
            "That system may not report deliveries or delays, so you may hear no more of it.",
        ),
        Action.DELIVERED: (
            "Your message was delivered to this recipient:",
            "Your message was delivered to these recipients:",
        ),
    },
    about="It is about your message: {subject}",
    forwarded="(you wrote to {address})",
    given_up="It was tried for {age} and is given up now. The last trouble was this:",
    given_up_soon="It could not be delivered in time. The last trouble was this:",
    said="{peer} said:",
    other_system="The other mail system",
    detail="In the words of mail systems:",
    to_do="What you can do: {advice}",
    tried_until="It is tried again until {moment}.",
    received="Your message was received on {moment} under the queue id {queue_id}.",
    held="It was to be held back until {moment}.",
    follows="It follows below.",
    header_follows="Its header follows below.",
    help="If you need help, write to {address} and enclose this report.",
    ages={
        "day": ("{number} day", "{number} days"),
        "hour": ("{number} hour", "{number} hours"),
        "minute": ("{number} minute", "{number} minutes"),
    },
    months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    moment="{day} {month} {year}, {hour}:{minute} (UTC)",
    causes={
        Cause.MAILBOX_UNKNOWN: (
            "there is no such mailbox",
            "Check the address for mistakes, and send the message again.",
        ),
        Cause.DOMAIN_UNKNOWN: (
            "there is no such domain, or it takes no mail",
            "Check what stands after the @ of the address, and send the message again.",
        ),
        Cause.MAILBOX_FULL: (
            "the mailbox is full",
            "Ask the recipient by other means to make room, and send the message again.",
        ),
        Cause.MAILBOX_DISABLED: (
            "the mailbox takes no mail at present",
            "Reach the recipient by other means.",
        ),
        Cause.POLICY: (
            "the recipient's mail system has a rule against this mail",
            "Ask the recipient by other means, or the recipient's postmaster, why the mail is refused.",
        ),
        Cause.REPUTATION: ("the recipient's mail system distrusts ours", _TELL_POSTMASTER),
        Cause.AUTHENTICATION: (
            "the recipient's mail system could not make sure that the message comes from where it says",
            _TELL_POSTMASTER,
        ),
        Cause.RATE_LIMIT: ("the recipient's mail system takes no more mail from ours for the moment", _LATER),
        Cause.GREYLISTED: ("the recipient's mail system wants to be asked again later", _LATER),
        Cause.CONTENT: (
            "the recipient's mail system does not take what the message says or carries: it looks like spam or "
            "harmful, or has a form that is not taken there",
            "Send the message again in a simpler form, for example as plain text without attachments.",
        ),
        Cause.SIZE: (
            "the message is too big",
            _SMALLER,
        ),
        Cause.PROTOCOL: (
            "the mail systems did not understand each other, or one of them lacks what the message needs",
            _TELL_POSTMASTER,
        ),
        Cause.TLS: ("no connection could be made that is as safe as it must be", _TELL_POSTMASTER),
        Cause.DNS: (
            "the recipient's mail system could not be found",
            "Check what stands after the @ of the address, and send the message again later.",
        ),
        Cause.CONNECTION: ("the recipient's mail system could not be reached", _LATER),
        Cause.BUSY: ("the recipient's mail system has too much to do, or no space left", _LATER),
        Cause.LOOP: (
            "the message goes in circles",
            "Tell your postmaster: the mail systems pass the message to each other in circles.",
        ),
        Cause.LOCAL: ("there is trouble in our own mail system", _TELL_POSTMASTER),
        Cause.EXPIRED: (
            "the time for delivery has run out",
            "Reach the recipient by other means, or send the message again later.",
        ),
        Cause.SUPPRESSED: (
            "earlier mail to this address came back for good or was complained about, so this was not sent",
            "Check the address. If it is right, ask your postmaster to take it off the suppression list.",
        ),
    },
    statuses=status.TEXTS_OF_STATUSES,
    advice=_ADVICE,
)  # fmt: skip
