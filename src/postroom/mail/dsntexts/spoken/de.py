"""German."""

from postroom.mail import status
from postroom.mail.cause import Cause
from postroom.mail.dsntexts.texts import Texts
from postroom.mail.notice import Action

_TELL_POSTMASTER = "Wenden Sie sich mit diesem Bericht an Ihren Postmaster; selbst können Sie es nicht beheben."
_LATER = "Senden Sie die Nachricht später noch einmal."
_SMALLER = "Verkleinern Sie die Nachricht, zum Beispiel durch weniger Anhänge, und senden Sie sie noch einmal."
_CHECK_DOMAIN = "Prüfen Sie, was in der Adresse nach dem @ steht, und senden Sie die Nachricht noch einmal."
_CHECK_ADDRESS = "Prüfen Sie die Adresse auf Tippfehler, und senden Sie die Nachricht noch einmal."
_MAKE_ROOM = (
    "Bitten Sie den Empfänger auf anderem Weg, Platz zu schaffen, und senden Sie die Nachricht dann noch einmal."
)
_CIRCLES = "Wenden Sie sich an Ihren Postmaster: Die Mailsysteme schicken sich die Nachricht im Kreis zu."
_EXPIRED = "Erreichen Sie den Empfänger auf anderem Weg, oder senden Sie die Nachricht später noch einmal."
_ASK_WHY = "Fragen Sie den Empfänger auf anderem Weg oder dessen Postmaster, warum die Nachricht abgewiesen wird."

_STATUSES = {
    "0": "eine Begründung wurde nicht genannt",
    "1": "mit der Adresse stimmt etwas nicht",
    "2": "mit dem Postfach stimmt etwas nicht",
    "3": "mit dem Mailsystem stimmt etwas nicht",
    "4": "es gibt eine Störung im Netz",
    "5": "die Mailsysteme haben einander nicht verstanden",
    "6": "mit dem Inhalt der Nachricht stimmt etwas nicht",
    "7": "eine Regel des Mailsystems steht der Nachricht entgegen",
    status.BAD_MAILBOX: "dieses Postfach gibt es nicht",
    status.BAD_SYSTEM: "dieses Ziel gibt es nicht",
    status.BAD_ADDRESS_SYNTAX: "die Adresse ist fehlerhaft geschrieben",
    status.VALID: "die Adresse ist gültig",
    status.MAILBOX_MOVED: "das Postfach ist umgezogen, und eine neue Adresse ist nicht bekannt",
    status.BAD_SENDER_SYNTAX: "die Adresse des Absenders ist fehlerhaft geschrieben",
    status.BAD_SENDER_SYSTEM: "die Domain des Absenders gibt es nicht, oder sie nimmt keine E-Mail an",
    status.NULL_MX: "die Domain nimmt überhaupt keine E-Mail an",
    status.MAILBOX_DISABLED: "das Postfach nimmt zurzeit keine Nachrichten an",
    status.MAILBOX_FULL: "das Postfach ist voll",
    status.MESSAGE_TOO_LONG_FOR_MAILBOX: "die Nachricht ist größer, als das Postfach zulässt",
    status.LIST_TROUBLE: "die Empfänger der Liste oder des Alias ließen sich nicht ermitteln",
    status.SYSTEM_FULL: "das Mailsystem hat keinen Platz mehr",
    status.NOT_ACCEPTING: "das Mailsystem nimmt zurzeit keine Nachrichten an",
    status.NOT_CAPABLE: "dem Mailsystem fehlt eine Fähigkeit, die die Nachricht braucht",
    status.MESSAGE_TOO_BIG: "die Nachricht ist zu groß",
    status.PRIORITY_CHANGED: "die Dringlichkeit der Nachricht wurde geändert",
    status.NO_ANSWER: "das Ziel antwortet nicht",
    status.BAD_CONNECTION: "die Verbindung brach ab",
    status.DIRECTORY_FAILURE: "eine Abfrage schlug fehl, ohne die nicht zugestellt werden kann",
    status.NO_ROUTE: "es gibt keinen Weg zum Ziel",
    status.CONGESTION: "das Mailsystem ist überlastet",
    status.LOOP: "die Nachricht läuft im Kreis",
    status.EXPIRED: "die Zeit für die Zustellung ist abgelaufen",
    status.BAD_COMMAND: "ein Befehl wurde nicht verstanden",
    status.BAD_SYNTAX: "ein Befehl war fehlerhaft",
    status.TOO_MANY_RECIPIENTS: "die Nachricht hat zu viele Empfänger",
    status.BAD_ARGUMENTS: "ein Befehl hatte eine falsche Angabe",
    status.CONVERSION_NEEDED: "der Inhalt müsste umgewandelt werden, und das geht nicht",
    status.UTF8_NOT_SUPPORTED: "das Ziel nimmt keine internationalen Adressen an",
    status.NOT_AUTHORISED: "der Absender darf dorthin nicht senden",
    status.SECURITY_FEATURES_MISSING: "ein Schutz fehlt, der verlangt wird",
    status.CRYPTOGRAPHIC_FAILURE: "eine Prüfung der Verschlüsselung oder der Signatur ist fehlgeschlagen",
    status.BAD_CREDENTIALS: "die Anmeldung wurde nicht angenommen",
    status.ENCRYPTION_REQUIRED: "eine Verschlüsselung wird verlangt",
    status.PRIORITY_TOO_LOW: "die Nachricht ist zurzeit nicht dringlich genug",
    status.RELEASE_QUOTA: "zu viele Nachrichten warten schon auf ihre Freigabe",
    status.REVERSE_DNS_FAILED: "der Name zur Adresse des sendenden Servers ließ sich nicht bestätigen",
    status.REQUIRETLS_MISSING: "der Weg zum Empfänger ist nicht so gesichert, wie der Absender es verlangt",
}

_ADVICE = {
    "0": "Erreichen Sie den Empfänger auf anderem Weg, oder fragen Sie Ihren Postmaster, was die Antwort bedeutet.",
    "1": _CHECK_ADDRESS,
    "2": "Erreichen Sie den Empfänger auf anderem Weg: Das Postfach nimmt zurzeit keine Nachrichten an.",
    "3": "Senden Sie die Nachricht später noch einmal, oder wenden Sie sich an den Postmaster des Empfängers.",
    "4": "Senden Sie die Nachricht später noch einmal; bisher hat niemand geantwortet.",
    "5": "Wenden Sie sich an Ihren Postmaster: Die Mailsysteme haben einander nicht verstanden.",
    "6": "Senden Sie die Nachricht in einfacherer Form noch einmal, zum Beispiel als reinen Text.",
    "7": _ASK_WHY,
    status.BAD_SYSTEM: _CHECK_DOMAIN,
    status.NULL_MX: "Prüfen Sie, was in der Adresse nach dem @ steht: Diese Domain nimmt keine E-Mail an.",
    status.MAILBOX_FULL: _MAKE_ROOM,
    status.MESSAGE_TOO_BIG: _SMALLER,
    status.MESSAGE_TOO_LONG_FOR_MAILBOX: _SMALLER,
    status.UTF8_NOT_SUPPORTED: "Verwenden Sie für den Empfänger und für sich selbst Adressen ohne Sonderzeichen.",
    status.LOOP: _CIRCLES,
    status.EXPIRED: _EXPIRED,
    status.REQUIRETLS_MISSING: "Senden Sie die Nachricht noch einmal, ohne TLS zu verlangen, wenn sie ungeschützt "
    "reisen darf.",
}

_CAUSES = {
    Cause.MAILBOX_UNKNOWN: ("dieses Postfach gibt es nicht", _CHECK_ADDRESS),
    Cause.DOMAIN_UNKNOWN: ("diese Domain gibt es nicht, oder sie nimmt keine E-Mail an", _CHECK_DOMAIN),
    Cause.MAILBOX_FULL: ("das Postfach ist voll", _MAKE_ROOM),
    Cause.MAILBOX_DISABLED: (
        "das Postfach nimmt zurzeit keine Nachrichten an",
        "Erreichen Sie den Empfänger auf anderem Weg.",
    ),
    Cause.POLICY: ("eine Regel im Mailsystem des Empfängers steht der Nachricht entgegen", _ASK_WHY),
    Cause.REPUTATION: ("das Mailsystem des Empfängers misstraut dem unseren", _TELL_POSTMASTER),
    Cause.AUTHENTICATION: (
        "das Mailsystem des Empfängers konnte nicht feststellen, ob die Nachricht wirklich von dort kommt, wo sie "
        "herzukommen angibt",
        _TELL_POSTMASTER,
    ),
    Cause.RATE_LIMIT: ("das Mailsystem des Empfängers nimmt im Augenblick nichts mehr von uns an", _LATER),
    Cause.GREYLISTED: ("das Mailsystem des Empfängers möchte später noch einmal gefragt werden", _LATER),
    Cause.CONTENT: (
        "das Mailsystem des Empfängers nimmt nicht an, was die Nachricht sagt oder mitbringt: Es hält sie für Spam "
        "oder für gefährlich, oder sie hat eine Form, die dort nicht angenommen wird",
        "Senden Sie die Nachricht in einfacherer Form noch einmal, zum Beispiel als reinen Text ohne Anhänge.",
    ),
    Cause.SIZE: ("die Nachricht ist zu groß", _SMALLER),
    Cause.PROTOCOL: (
        "die Mailsysteme haben einander nicht verstanden, oder einem davon fehlt, was die Nachricht braucht",
        _TELL_POSTMASTER,
    ),
    Cause.TLS: ("eine Verbindung, die so sicher ist wie verlangt, kam nicht zustande", _TELL_POSTMASTER),
    Cause.DNS: (
        "das Mailsystem des Empfängers war nicht zu finden",
        "Prüfen Sie, was in der Adresse nach dem @ steht, und senden Sie die Nachricht später noch einmal.",
    ),
    Cause.CONNECTION: ("das Mailsystem des Empfängers war nicht zu erreichen", _LATER),
    Cause.BUSY: ("das Mailsystem des Empfängers ist überlastet oder hat keinen Platz mehr", _LATER),
    Cause.LOOP: ("die Nachricht läuft im Kreis", _CIRCLES),
    Cause.LOCAL: ("in unserem eigenen Mailsystem gibt es eine Störung", _TELL_POSTMASTER),
    Cause.EXPIRED: ("die Zeit für die Zustellung ist abgelaufen", _EXPIRED),
    Cause.SUPPRESSED: (
        "frühere Nachrichten an diese Adresse kamen endgültig zurück oder führten zu Beschwerden, deshalb wurde diese "
        "nicht gesendet",
        "Prüfen Sie die Adresse. Wenn sie stimmt, bitten Sie Ihren Postmaster, sie von der Sperrliste zu nehmen.",
    ),
}

_ONLY_A_WARNING = (
    "Dies ist nur eine Warnung: Es wird weiter versucht, und Sie brauchen sie nicht noch einmal zu senden."
)
_NO_MORE_NEWS = (
    "Dieses System meldet Zustellungen und Verzögerungen vielleicht nicht; möglicherweise hören Sie also nichts mehr."
)

TEXTS = Texts(
    language="de",
    subjects={
        Action.FAILED: "Ihre Nachricht konnte nicht zugestellt werden",
        Action.DELAYED: "Ihre Nachricht verzögert sich",
        Action.EXPANDED: "Ihre Nachricht wurde an eine Liste von Empfängern weitergegeben",
        Action.RELAYED: "Ihre Nachricht wurde weitergegeben",
        Action.DELIVERED: "Ihre Nachricht wurde zugestellt",
    },
    host="Hier ist das Mailsystem auf {host}.",
    postmaster="Sie erfahren dies als Postmaster: Die Nachricht hat keinen Absender, dem es gesagt werden könnte.",
    headings={
        Action.FAILED: (
            "Ihre Nachricht konnte diesem Empfänger NICHT zugestellt werden. Es wird nichts mehr versucht.",
            "Ihre Nachricht konnte diesen Empfängern NICHT zugestellt werden. Für sie wird nichts mehr versucht.",
        ),
        Action.DELAYED: (
            f"Ihre Nachricht konnte diesem Empfänger NOCH NICHT zugestellt werden.\n{_ONLY_A_WARNING}",
            f"Ihre Nachricht konnte diesen Empfängern NOCH NICHT zugestellt werden.\n{_ONLY_A_WARNING}",
        ),
        Action.EXPANDED: (
            "Ihre Nachricht wurde an alle weitergegeben, die hinter dieser Adresse stehen:",
            "Ihre Nachricht wurde an alle weitergegeben, die hinter diesen Adressen stehen:",
        ),
        Action.RELAYED: (
            f"Ihre Nachricht wurde für diesen Empfänger an das nächste Mailsystem weitergegeben.\n{_NO_MORE_NEWS}",
            f"Ihre Nachricht wurde für diese Empfänger an das nächste Mailsystem weitergegeben.\n{_NO_MORE_NEWS}",
        ),
        Action.DELIVERED: (
            "Ihre Nachricht wurde diesem Empfänger zugestellt:",
            "Ihre Nachricht wurde diesen Empfängern zugestellt:",
        ),
    },
    about="Es geht um Ihre Nachricht: {subject}",
    forwarded="(Sie haben an {address} geschrieben)",
    given_up="Es wurde {age} lang versucht und ist nun aufgegeben. Zuletzt stand im Weg:",
    given_up_soon="Die Zeit dafür ist um. Zuletzt stand im Weg:",
    said="{peer} sagte dazu:",
    other_system="Das andere Mailsystem",
    detail="In der Sprache der Mailsysteme:",
    to_do="Was Sie tun können: {advice}",
    tried_until="Es wird versucht bis {moment}.",
    received="Ihre Nachricht wurde am {moment} angenommen und hat die Nummer {queue_id}.",
    held="Sie sollte zurückgehalten werden bis {moment}.",
    follows="Sie ist hier angefügt.",
    header_follows="Ihr Kopf ist hier angefügt.",
    help="Wenn Sie Hilfe brauchen, schreiben Sie an {address}, und fügen Sie diesen Bericht bei.",
    ages={
        "day": ("{number} Tag", "{number} Tage"),
        "hour": ("{number} Stunde", "{number} Stunden"),
        "minute": ("{number} Minute", "{number} Minuten"),
    },
    months=(
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
        "Dezember",
    ),
    moment="{day}. {month} {year}, {hour}:{minute} Uhr (UTC)",
    causes=_CAUSES,
    statuses=_STATUSES,
    advice=_ADVICE,
)  # fmt: skip
