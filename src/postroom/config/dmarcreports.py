"""The settings of the DMARC reports that we send."""

from typing import Annotated

from pydantic import AfterValidator, Field

from postroom.config.section import Section
from postroom.mail.address import Address
from postroom.mail.domain import normalise_domain


def _address(text: str) -> str:
    return str(Address.parse(text)) if text else text


def _address_or_domain(text: str) -> str:
    return Address.parse(text).key if "@" in text else normalise_domain(text)


class DmarcReportSettings(Section):
    """``[dmarc_reports]``: daily reports to other domains on mail that came in as theirs (RFC 9990)."""

    enabled: bool = Field(
        True,
        description="Whether reports are sent to domains that ask for them. They go out only while something signs "
        "for the domain of sender, as others believe none that does not pass DMARC itself.",
    )
    organization: str = Field("", max_length=200, description="Who reports; empty: the hostname.")
    sender: Annotated[str, AfterValidator(_address)] = Field(
        "",
        description="From and return path of the reports; empty: noreply-dmarc@hostname. Nobody need read it: what "
        "comes back to it is looked at and not kept, unless an account or alias has the address.",
    )
    contact: Annotated[str, AfterValidator(_address)] = Field(
        "",
        description="Mail address for questions, which stands in the reports; empty: postmaster of the domain of ours "
        "that the host belongs to.",
    )
    extra_contact: str = Field(
        "", max_length=500, description="Other ways to reach you, such as a page, which stand in the reports."
    )
    suppress: tuple[Annotated[str, AfterValidator(_address_or_domain)], ...] = Field(
        (),
        description="To whom no report is sent: addresses, domains of addresses, or domains that the reports would be "
        "about.",
    )
