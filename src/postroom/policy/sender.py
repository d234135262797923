"""Who has logged in sends only as own addresses and aliases (RFC 6409 §6.1)."""

from postroom.directory.directory import Directory
from postroom.mail.reply import Reply
from postroom.policy.stage import AtMail, Stage
from postroom.policy.verdict import ACCEPT, Refuse, Verdict


def sender_stage(directory: Directory) -> Stage:
    """Refuses a reverse-path that is not the account's (550 5.7.1).

    The null reverse-path is taken: a mail program must send its MDNs with it (RFC 8098 §3), and they go out under the
    account's name in the log all the same.
    """

    async def on_mail(moment: AtMail) -> Verdict:
        name, wanted = moment.client.account, moment.reverse_path
        if not name or wanted is None:
            return ACCEPT
        account = await directory.account(name)
        if account is not None and await directory.may_send_as(account, wanted):
            return ACCEPT
        # RFC 6531 §3.7.4.2: a reply may hold UTF-8 only where the client asked for it, so it names ASCII addresses.
        shown = f"{name} may not send as {wanted}" if f"{name}{wanted}".isascii() else "Not your address"
        return Refuse(Reply.of(550, "5.7.1", shown), f"{wanted} is not an address of the account {name}")

    return Stage(name="sender", on_mail=on_mail)
