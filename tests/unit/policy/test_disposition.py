"""What follows from what was found: each result under each setting (RFC 9989 §5.3.6, §5.4, §7.1)."""

import pytest

from postroom.config.mailauth import MailauthSettings
from postroom.mailauth.model import Authentication, DmarcCheck, Policy, Result, SpfCheck, SpfIdentity
from postroom.mailauth.overrides import Override, OverrideKind
from postroom.policy.disposition import Action, Decision, Ground, Leniency, decide, object_to

ACCEPT, TAG, QUARANTINE, DEFER, REFUSE = Action


def found(spf: Result | None, dmarc: Result | None, policy: Policy | None = None) -> Authentication:
    return Authentication(
        None if spf is None else SpfCheck(spf, SpfIdentity.MAIL_FROM, "a.example"),
        dmarc=None if dmarc is None else DmarcCheck(dmarc, "b.example", policy=policy),
    )


N, P, F, S, T, E = Result.NONE, Result.PASS, Result.FAIL, Result.SOFTFAIL, Result.TEMPERROR, Result.PERMERROR


@pytest.mark.parametrize(
    ("spf", "dmarc", "policy", "settings", "action", "ground"),
    [
        # Nothing speaks against it.
        (P, P, None, {}, ACCEPT, Ground.NONE),
        (N, N, None, {}, ACCEPT, Ground.NONE),
        (S, N, None, {"on_spf_fail": "refuse"}, ACCEPT, Ground.NONE),
        (E, N, None, {"on_spf_fail": "refuse"}, ACCEPT, Ground.NONE),
        (P, E, None, {}, ACCEPT, Ground.NONE),
        (None, None, None, {}, ACCEPT, Ground.NONE),
        # RFC 9989 §7.1: SPF never decides against DMARC.
        (F, P, None, {"on_spf_fail": "refuse"}, ACCEPT, Ground.NONE),
        (T, P, None, {"on_spf_fail": "refuse", "on_temperror": "defer"}, ACCEPT, Ground.NONE),
        # SPF alone.
        (F, N, None, {}, TAG, Ground.SPF),
        (F, None, None, {}, TAG, Ground.SPF),
        (F, N, None, {"on_spf_fail": "quarantine"}, QUARANTINE, Ground.SPF),
        (F, N, None, {"on_spf_fail": "refuse"}, REFUSE, Ground.SPF),
        (T, N, None, {"on_temperror": "defer"}, ACCEPT, Ground.NONE),
        (T, N, None, {"on_spf_fail": "refuse"}, TAG, Ground.TEMPERROR),
        (T, N, None, {"on_spf_fail": "refuse", "on_temperror": "defer"}, DEFER, Ground.TEMPERROR),
        # DMARC, by what the domain asks for.
        (P, F, Policy.REJECT, {}, REFUSE, Ground.DMARC),
        (P, F, Policy.REJECT, {"on_dmarc_reject": "quarantine"}, QUARANTINE, Ground.DMARC),
        (P, F, Policy.REJECT, {"on_dmarc_reject": "tag"}, TAG, Ground.DMARC),
        (P, F, Policy.QUARANTINE, {}, QUARANTINE, Ground.DMARC),
        (P, F, Policy.QUARANTINE, {"on_dmarc_quarantine": "refuse"}, REFUSE, Ground.DMARC),
        (P, F, Policy.NONE, {"on_dmarc_reject": "refuse", "on_dmarc_quarantine": "refuse"}, TAG, Ground.DMARC),
        (P, F, None, {}, TAG, Ground.DMARC),
        # The stricter of both.
        (F, F, Policy.NONE, {"on_spf_fail": "refuse"}, REFUSE, Ground.SPF),
        (F, F, Policy.REJECT, {"on_spf_fail": "refuse"}, REFUSE, Ground.DMARC),
        (F, F, Policy.REJECT, {"on_spf_fail": "quarantine", "on_dmarc_reject": "tag"}, QUARANTINE, Ground.SPF),
        # RFC 9989 §5.3.6: it cannot be told.
        (P, T, None, {}, TAG, Ground.TEMPERROR),
        (P, T, None, {"on_temperror": "defer"}, DEFER, Ground.TEMPERROR),
        (F, T, None, {"on_spf_fail": "refuse"}, TAG, Ground.TEMPERROR),
        (F, T, None, {"on_spf_fail": "refuse", "on_temperror": "defer"}, DEFER, Ground.TEMPERROR),
    ],
)
def test_the_table(
    spf: Result | None,
    dmarc: Result | None,
    policy: Policy | None,
    settings: dict[str, str],
    action: Action,
    ground: Ground,
) -> None:
    objection = object_to(found(spf, dmarc, policy), MailauthSettings.model_validate(settings), hidden_author=False)
    assert (objection.action, objection.ground) == (action, ground)
    assert bool(objection.reason) == (action is not ACCEPT)


@pytest.mark.parametrize(("word", "action"), [("tag", TAG), ("quarantine", QUARANTINE), ("refuse", REFUSE)])
def test_several_authors(word: str, action: Action) -> None:
    """RFC 9989 §11.5."""
    settings = MailauthSettings.model_validate({"on_several_authors": word})
    objection = object_to(found(P, P), settings, hidden_author=True)
    assert (objection.action, objection.ground) == (action, Ground.AUTHORS)


def test_whatever_is_worse_counts_more_than_several_authors() -> None:
    settings = MailauthSettings.model_validate({"on_several_authors": "tag"})
    assert object_to(found(P, F, Policy.REJECT), settings, hidden_author=True).ground is Ground.DMARC


def test_what_speaks_for_a_message_bounds_what_is_done() -> None:
    objection = object_to(found(F, F, Policy.REJECT), MailauthSettings(), hidden_author=False)
    leniency = Leniency(Override(OverrideKind.TRUSTED_FORWARDER), "it is forwarded")
    assert decide(objection, None) == Decision(REFUSE, objection)
    softened = decide(objection, leniency)
    assert (softened.action, softened.leniency) == (TAG, leniency)
    assert softened.reason.endswith("; it is forwarded")
    # It softens, and nothing gets worse by it.
    stricter = Leniency(Override(OverrideKind.MAILING_LIST), "a list", REFUSE)
    assert decide(objection, stricter) == Decision(REFUSE, objection)
