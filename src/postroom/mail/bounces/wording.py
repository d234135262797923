"""The words in which servers tell that mail was not delivered: in the sentences that lead to the addresses, and beside
them. Written from what mail servers say in general; each language has the few ways in which one says it.
"""

FAILED = (
    # English: the sentence before a list, or around one address
    "could not be delivered", "couldn't be delivered", "cannot be delivered", "can't be delivered",
    "can not be delivered", "could not deliver", "couldn't deliver", "cannot deliver", "can't deliver",
    "could not be sent", "couldn't be sent", "cannot be sent", "could not send", "couldn't send", "could not reach",
    "cannot reach", "could not be reached", "was not delivered", "were not delivered", "not been delivered",
    "wasn't delivered", "not delivered", "was not sent", "not be delivered", "not deliver your", "undeliverable",
    "undelivered", "non-deliverable", "nondeliverable", "unable to deliver", "unable to send",
    "unable to be delivered", "wasn't able to deliver", "was not able to deliver", "not able to deliver",
    "weren't able to deliver", "were unable to", "unable to complete delivery", "unable to relay",
    "failed to deliver", "failed to be delivered", "failed to send", "failed to reach", "failed permanently",
    "delivery failed", "delivery has failed", "delivery failure", "delivery to * failed", "delivery to * has failed",
    "delivery of * failed", "failure to deliver", "failed delivery", "failed address", "failed recipient",
    "failed for", "failed to these", "failed: ", "failed for the following", "following addresses failed",
    "following address failed", "following address(es) failed", "following recipient failed",
    "following recipients failed", "did not reach", "didn't reach", "have not reached", "not reach the following",
    "never reached", "permanent fatal errors", "permanent errors", "fatal errors", "permanent error",
    "delivery errors", "error occurred while * deliver", "errors occurred", "error has occurred while * deliver",
    "encountered an error while * deliver", "problem with * recipient", "problems delivering", "problem delivering",
    "trouble delivering", "returned to you", "returned to sender", "message is being returned", "being returned",
    "has been returned", "was returned", "bounced", "has been rejected", "was rejected", "have been rejected",
    "been refused", "was refused", "was blocked", "been blocked", "blocked by", "not accepted", "was not accepted",
    "not be accepted", "no such user", "unknown user", "user unknown", "unknown recipient", "unknown address",
    "unknown addresses", "invalid address", "invalid addresses", "invalid recipient", "invalid recipients",
    "invalid user", "bad address", "bad addresses", "bad recipient", "bad recipients", "illegal address",
    "nonexistent", "non-existent", "does not exist", "do not exist", "doesn't exist", "don't exist",
    "is not a valid", "are not valid", "not valid", "no valid recipients", "not found", "wasn't found",
    "mailbox is full", "mailbox full", "over quota", "exceeded * quota", "no longer", "not known", "is unknown",
    "gave up", "giving up", "given up", "could not be found", "rejected the following", "recipients were rejected",
    "automatically rejected", "did not * match", "do not match", "no match", "invalid final delivery",
    "invalid userid", "affected recipient", "unsuccessful", "failed with", "has failed", "have failed",
    "following recipient(s)", "list of recipients",
    # German
    "nicht zugestellt", "unzustellbar", "nicht zustellbar", "nicht ausgeliefert", "konnte nicht", "konnten nicht",
    "zustellung fehlgeschlagen", "fehlgeschlagen", "nicht erreicht", "nicht übermittelt", "zurückgewiesen",
    "abgewiesen",
    # French
    "n'a pas pu être", "n'a pu être", "n'ont pas pu", "pas pu etre", "pas été remis", "pas été délivré", "non remis",
    "non délivré", "impossible de remettre", "impossible de délivrer", "échec de la remise", "échec de remise",
    "n'a pas été",
    # Spanish, Portuguese, Catalan
    "no se ha podido", "no se pudo", "no pudo ser", "no ha podido ser", "no ha sido entregado", "no fue entregado",
    "no se entregó", "imposible entregar", "error al entregar", "fallo en la entrega", "não pôde ser",
    "nao pode ser", "não foi possível", "nao foi possivel", "não foi entregue", "não pode ser entregue",
    "no s'ha pogut",
    # Italian
    "non è stato", "impossibile consegnare", "impossibile recapitare", "non è stato possibile", "non può essere",
    "mancata consegna", "consegna non riuscita", "non recapitabile", "non consegnato",
    # Dutch, Scandinavian, Polish, Czech, Turkish
    "niet worden afgeleverd", "niet bezorgd", "niet afgeleverd", "kon niet", "kunne ikke", "kunde inte", "ei voitu",
    "nie może zostać", "nie mogła zostać", "nie została dostarczona", "nie można dostarczyć", "nelze doručit",
    "nebyla doručena", "teslim edilemedi", "iletilemedi",
    # Russian, Greek
    "не доставлено", "не может быть доставлено", "не было доставлено", "не удалось доставить",
    "невозможно доставить", "не удалось", "не может быть", "не был доставлен", "δεν ήταν δυνατή", "δεν παραδόθηκε",
    # Chinese, Japanese, Korean
    "退回", "退信", "无法发送", "无法投递", "无法送达", "投递失败", "发送失败", "無法送達", "無法傳送",
    "送信できません", "配信できません", "届けられません", "送れません", "配送できません", "エラーのため",
    "전송하지 못", "전달되지", "배달하지",
)  # fmt: skip

DELAYED = (
    "has been delayed", "been delayed", "delayed delivery", "delivery delayed", "is delayed",
    "delivery to * delayed", "not yet been delivered", "not been delivered yet", "has not yet", "have not yet",
    "not yet delivered", "yet to be delivered", "still undelivered", "still being", "still trying",
    "still in the queue", "remains undelivered", "still queued", "will be retried", "will keep trying",
    "keep trying", "will continue to try", "will try again", "will continue for", "continue to be made",
    "continue trying", "attempts will continue", "attempts will be made", "will be attempted again", "will retry",
    "retrying", "retry for", "warning message only", "just a warning", "only a warning", "warning only",
    "no need to resend", "do not need to resend", "don't need to resend", "not necessary to resend",
    "no action is required", "transient non-fatal errors", "transient errors", "could not send message for past",
    "has been deferred", "delivery deferred", "temporary error", "temporarily undeliverable", "temporarily unable",
    "temporarily not", "tried for * hours", "verzögert", "noch nicht zugestellt", "wird weiter versucht",
    "a été retardé", "retardé", "retrasado", "aún no", "in ritardo", "vertraagd", "задержано", "ещё не", "延迟",
    "遅延",
)  # fmt: skip

GIVEN_UP = (
    "permanent", "permanently", "permanent fatal", "given up", "gave up", "giving up", "will not be retried",
    "will not retry", "no longer be tried", "no further attempts", "not be attempted again", "returned to sender",
    "final notice", "a fatal", "has been removed from the * queue", "endgültig",
)  # fmt: skip
"""A report that has these is about the end, whatever else it says of earlier attempts."""

COPY_FOLLOWS = (
    "original message", "copy of the message", "copy of your message",
    "copy of the original", "copy of the undelivered", "original message headers",
    "the original message is", "original message text",
    "message follows", "message header follows", "headers follow", "header of the original",
    "headers of the original", "text of your message", "message headers follow", "message text follows",
    "message is attached below", "unsent message", "unsent copy", "your message reads", "your original message",
    "returned message follows", "start of returned", "start of original", "begin message",
    "beginning of your message", "first * lines of", "text of original", "content of original",
    "undelivered message follows", "rejected message follows", "message was as follows", "original email",
    "original e-mail", "message contents follow", "text follows", "included below", "reproduced below",
    "mail follows", "your message to * follows", "ursprüngliche nachricht", "originalnachricht", "message d'origine",
    "message original", "mensaje original", "messaggio originale", "原邮件", "oorspronkelijk bericht",
)  # fmt: skip
"""After a line with one of these the message that came back may stand; only where the line looks like a heading."""

FAILURE_SUBJECTS = (
    "undeliver", "non-deliver", "nondeliver", "non deliver", "returned mail", "returned message", "mail returned",
    "message returned", "returned email", "returned e-mail", "returning", "return to sender", "delivery fail",
    "delivery report", "delivery status", "delivery error", "delivery has failed", "delivery notification",
    "delivery problem", "delivery warning", "delivery delay", "delayed", "delivery unsuccessful", "failed mail",
    "failed delivery", "failure notice", "failure notification", "failure delivery", "mail failure", "mail delivery",
    "mail system error", "mail error", "mail status", "message status", "message delivery", "message undeliver",
    "message not deliver", "not delivered", "notification: failed", "could not", "cannot send", "can't send",
    "cannot deliver", "unable to", "non remis", "undelivered", "unzustellbar", "nicht zugestellt", "zustellung",
    "zurueck", "zurück", "échec", "no se pudo", "no entregado", "error de entrega", "rebote", "falha",
    "não entregue", "devolvid", "devuelto", "devolución", "consegna", "mancato recapito", "non recapit",
    "niet afgeleverd", "onbestelbaar", "недоставлен", "не доставлен", "возврат", "退信", "退回", "无法", "配信",
    "エラー", "bounce", "user unknown", "unknown user", "no such user", "address error", "invalid address",
    "bad address", "warning: message", "warning: could not", "nondeliverable", "error delivering", "error sending",
    "problem delivering", "rejected", "blocked", "not found", "quota", "mailbox full", "failed", "failure",
    "notice: mail",
)  # fmt: skip

AUTO_REPLY_SUBJECTS = (
    "out of office", "out of the office", "out-of-office", "automatic reply", "automatic response", "autoreply",
    "auto reply", "auto-reply", "autoresponse", "auto response", "auto-response", "autoresponder", "vacation",
    "on holiday", "away from", "i am away", "on leave", "abwesen", "urlaub", "automatische antwort",
    "réponse automatique", "absence", "absent", "respuesta automática", "fuera de la oficina", "fuera de oficina",
    "risposta automatica", "fuori sede", "fuori ufficio", "resposta automática", "automatisch antwoord", "afwezig",
    "automatiskt svar", "frånvaro", "автоответ", "自动回复", "自動応答", "thank you for your", "we have received",
    "your request", "ticket",
)  # fmt: skip

MAIL_SYSTEMS = frozenset(
    {
        "mailer-daemon", "mailerdaemon", "mailer_daemon", "postmaster", "maildaemon", "mail-daemon", "mail-system",
        "mailsystem", "mailadm", "mailadmin", "mailmaster", "daemon", "mdaemon", "smtp", "smtpd", "mta", "mail",
        "exim", "mmdf", "pmdf", "uucp", "root", "administrator", "system", "bounce", "bounces", "mailgate",
        "mailgateway", "maildeliverysystem", "mail-delivery", "maildelivery", "mail_delivery", "microsoftexchange",
        "noreply", "no-reply", "listserv", "nobody",
    }
)  # fmt: skip
"""Local parts of senders that are programs, not people."""
