"""Messages get the tags that the rules of routing ask for, and only from those who may give them."""

from typing import Any

import pytest
from tests.fakes.smtp_house import SmtpHouse
from tests.unit.inbound.test_transaction import ANN, BOB, CLIENT, Ends, rooms

from postroom.config.road import RouteSettings
from postroom.inbound.tagging import tagger_for
from postroom.inbound.transaction import Transaction
from postroom.mail.envelope import Recipient
from postroom.mail.message import Message
from postroom.mail.session import Client, Role
from postroom.protocol.smtp.events import Mail

CONTENT = b"X-Postroom-Tag: bulk\r\nList-Id: <news>\r\nTLS-Required: No\r\n\r\nhello\r\n"
SUBMITTED = Client(1, Role.SUBMISSION, "192.0.2.1", 4711, account=str(BOB))


async def tags_of(client: Client, *routes: dict[str, Any], mail: Mail | None = None) -> tuple[str, ...]:
    house = SmtpHouse()
    made = rooms(house, Ends())
    made = type(made)(
        **{name: getattr(made, name) for name in made.__slots__}
        | {"tagger": tagger_for([RouteSettings.model_validate(route) for route in routes])}
    )
    transaction = Transaction(made, client, mail or Mail(ANN))
    assert (await transaction.open()).is_positive
    assert await transaction.add(Recipient(BOB)) is None
    transaction.begin_content()
    await transaction.take(CONTENT)
    assert isinstance(await transaction.finish(), Message)
    return house.door.drafts[0].tags


@pytest.mark.parametrize(
    ("client", "route", "tags"),
    [
        (SUBMITTED, {"tags": ["other"]}, ("bulk", "tls-required-no")),
        (CLIENT, {"tags": ["other"]}, ("tls-required-no",)),
        (SUBMITTED, {"domains": ["x.example"]}, ("tls-required-no",)),
        (CLIENT, {"headers": {"List-Id": "*news*"}}, ("tls-required-no", "header:List-Id=*news*")),
        (CLIENT, {"headers": {"List-Id": "*olds*"}}, ("tls-required-no",)),
    ],
)
async def test_what_rules_ask_for(client: Client, route: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert await tags_of(client, route) == tags


async def test_requiretls_outdoes_the_field() -> None:
    """RFC 8689 §4.1."""
    assert await tags_of(CLIENT, mail=Mail(ANN, require_tls=True)) == ()
