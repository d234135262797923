"""Why a message was not dealt with as its author's domain asks, in the words of RFC 9990 §3.1.6."""

from enum import Enum

from postroom.mail.value import value


class OverrideKind(Enum):
    """The kinds that the standard has."""

    LOCAL_POLICY = "local_policy"
    MAILING_LIST = "mailing_list"
    OTHER = "other"
    POLICY_TEST_MODE = "policy_test_mode"
    TRUSTED_FORWARDER = "trusted_forwarder"


@value(frozen=True, slots=True)
class Override:
    """One reason. ``comment`` goes to the domain's owner: no addresses, nothing that differs for each message."""

    kind: OverrideKind
    comment: str = ""
