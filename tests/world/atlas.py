"""The map: which domains there are, at which sites, and what is expected to become of mail for them."""

from tests.world.model import (
    Domain,
    End,
    Fate,
    Host,
    Manner,
    Rate,
    Reach,
    Rules,
    Site,
    Sts,
    Tls,
    Tlsa,
    World,
)

SIGNED, PLAIN = "signed.test", "plain.test"
"""Two zones: one that DNSSEC secures, and one that it does not."""

LAME = "lame.test"
"""A zone whose nameserver has no address: nobody can be asked."""

GREYLISTED_FOR = 3.0  # seconds
MESSAGES_PER_CONNECTION = 20
CONNECTIONS = 3
UNTOLD_CONNECTIONS = 4
RATE_SECONDS = 10.0

NO_TLS = Fate(End.EXPIRED, "tls")
NO_DNS = Fate(End.EXPIRED, "dns")
NO_DOMAIN = Fate(End.FAILED, "domain_unknown")

TOLD = ("twenty", "narrow", "rated")
"""Sites whose rules people know; that of the moody one has to be found out."""


def world(network: str, port: int, messages: int) -> World:
    """The world for so many messages: the rate of the site that has one is less than what it is sent."""
    sites = _sites(messages)
    return World(network, port, (*_of_manners(sites), *_of_trouble(sites), *_of_tls()))


def tls_cases(world: World) -> list[Domain]:
    """One domain for each thing that DNSSEC, TLSA records, policies and certificates can say together."""
    names = {domain.name for domain in _of_tls()}
    names |= {f"fast1.{PLAIN}", f"fast4.{SIGNED}", f"safe1.{SIGNED}", f"safe2.{PLAIN}", f"bogus.{SIGNED}"}
    return [domain for domain in world.domains if domain.name in names]


def _sites(messages: int) -> dict[str, Site]:
    slow = Manner(slowest_reply=2.0)
    rate = Rate(max(10, messages // 500), RATE_SECONDS)
    return {
        site.name: site
        for site in (
            Site("fast", (Host(name=f"mx1.fast.{PLAIN}", address=1), Host(name=f"mx2.fast.{PLAIN}", address=2))),
            Site("fast6", (Host(name=f"mx.six.{PLAIN}", address=0),)),
            Site("safe", (Host(name=f"mx.safe.{SIGNED}", address=3, tlsa=(Tlsa.KEY,)),), Manner(chunking=True)),
            Site("slow", (Host(name=f"mx.slow.{PLAIN}", address=4),), slow),
            Site("grey", (Host(name=f"mx.grey.{PLAIN}", address=5),), Manner(rules=Rules(greylist=GREYLISTED_FOR))),
            Site(
                "twenty",
                (Host(name=f"mx.twenty.{PLAIN}", address=6),),
                Manner(rules=Rules(messages_per_connection=MESSAGES_PER_CONNECTION)),
            ),
            Site(
                "narrow",
                (Host(name=f"mx.narrow.{PLAIN}", address=7),),
                Manner(rules=Rules(connections=CONNECTIONS), slowest_reply=0.1),
            ),
            Site(
                "moody",
                (Host(name=f"mx.moody.{PLAIN}", address=15),),
                Manner(rules=Rules(connections=UNTOLD_CONNECTIONS), slowest_reply=0.1),
            ),
            Site("rated", (Host(name=f"mx.rated.{PLAIN}", address=8),), Manner(rules=Rules(rate=rate))),
            Site(
                "dead",
                (
                    Host(name=f"mx1.dead.{PLAIN}", address=9, reach=Reach.REFUSED),
                    Host(name=f"mx2.dead.{PLAIN}", address=10, preference=20),
                ),
            ),
            Site(
                "silent",
                (
                    Host(name=f"mx1.silent.{PLAIN}", address=11, reach=Reach.SILENT),
                    Host(name=f"mx2.silent.{PLAIN}", address=12, preference=20),
                ),
            ),
            Site("gone", (Host(name=f"mx.gone.{PLAIN}", address=13, reach=Reach.REFUSED),)),
            Site("bare", (Host(name=f"mx.bare.{PLAIN}", address=16),)),
            Site("closes", (Host(name=f"mx.closes.{PLAIN}", address=14),), Manner(drops=True)),
        )
    }


def _of_manners(sites: dict[str, Site]) -> tuple[Domain, ...]:
    fast = [
        Domain(name=f"fast{number}.{zone}", site=sites["fast"], weight=110, has_people=True)
        for number, zone in enumerate((PLAIN, PLAIN, PLAIN, SIGNED, SIGNED), 1)
    ]
    return (
        *fast,
        Domain(name=f"safe1.{SIGNED}", site=sites["safe"], level="verified", weight=100, has_people=True),
        Domain(name=f"safe2.{PLAIN}", site=sites["safe"], weight=60),
        Domain(name=f"slow1.{PLAIN}", site=sites["slow"], weight=4),
        Domain(name=f"slow2.{PLAIN}", site=sites["slow"], weight=3),
        Domain(name=f"slow3.{SIGNED}", site=sites["slow"], weight=3),
        Domain(name=f"grey1.{PLAIN}", site=sites["grey"], weight=20),
        Domain(name=f"grey2.{PLAIN}", site=sites["grey"], weight=10),
        Domain(name=f"twenty1.{PLAIN}", site=sites["twenty"], weight=30),
        Domain(name=f"twenty2.{PLAIN}", site=sites["twenty"], weight=30),
        Domain(name=f"narrow1.{PLAIN}", site=sites["narrow"], weight=20),
        Domain(name=f"narrow2.{PLAIN}", site=sites["narrow"], weight=10),
        Domain(name=f"moody.{PLAIN}", site=sites["moody"], weight=30),
        Domain(name=f"rated1.{PLAIN}", site=sites["rated"], weight=6),
        Domain(name=f"rated2.{PLAIN}", site=sites["rated"], weight=6),
        Domain(name=f"closes.{PLAIN}", site=sites["closes"], weight=4),
        Domain(name=f"six.{PLAIN}", site=sites["fast6"], weight=40),
    )


def _of_trouble(sites: dict[str, Site]) -> tuple[Domain, ...]:
    return (
        Domain(name=f"dead.{PLAIN}", site=sites["dead"], weight=20),
        Domain(name=f"silent.{PLAIN}", site=sites["silent"], weight=10),
        Domain(name=f"mx.bare.{PLAIN}", site=sites["bare"], has_mx=False, weight=10),
        Domain(name=f"gone.{PLAIN}", site=sites["gone"], weight=2, fate=Fate(End.EXPIRED, "connection")),
        Domain(name=f"null.{PLAIN}", is_null_mx=True, weight=3, fate=NO_DOMAIN),
        Domain(name="nosuch.example", weight=3, fate=NO_DOMAIN),
        Domain(name=f"bogus.{SIGNED}", site=sites["fast"], weight=2, mx_is_bogus=True, fate=NO_DNS),
        Domain(name=f"somewhere.{LAME}", weight=2, fate=NO_DNS),
    )


def _of_tls() -> tuple[Domain, ...]:
    """TLS in every state, with what MTA-STS (RFC 8461) and DANE (RFC 7672) make of it."""
    wrong = _one("wrong", PLAIN, 20, Tls.WRONG_NAME)
    good = _one("good", PLAIN, 21, Tls.GOOD)
    none = _one("none", PLAIN, 22, Tls.NONE)
    bad = _dane("bad", 32, Tls.GOOD, Tlsa.OTHER_KEY)
    return (
        Domain(name=f"broken.{PLAIN}", site=_one("broken", PLAIN, 23, Tls.BROKEN), level="plain", weight=10),
        Domain(name=f"expired.{PLAIN}", site=_one("expired", PLAIN, 24, Tls.EXPIRED), weight=5),
        Domain(name=f"none.{PLAIN}", site=none, level="plain", weight=10),
        Domain(name=f"lax.{PLAIN}", site=wrong, weight=10),
        Domain(name=f"sts-good.{PLAIN}", site=good, level="verified", sts=Sts.ENFORCE, weight=10),
        Domain(name=f"sts-wrong.{PLAIN}", site=wrong, sts=Sts.ENFORCE, weight=2, fate=NO_TLS),
        Domain(name=f"sts-none.{PLAIN}", site=none, sts=Sts.ENFORCE, weight=2, fate=NO_TLS),
        Domain(name=f"sts-other.{PLAIN}", site=good, sts=Sts.ENFORCE_OTHER_HOST, weight=2, fate=NO_TLS),
        Domain(name=f"sts-testing.{PLAIN}", site=wrong, sts=Sts.TESTING, weight=5),
        Domain(name=f"sts-lost.{PLAIN}", site=wrong, sts=Sts.NO_POLICY, weight=2),
        Domain(name=f"sts-wild.{PLAIN}", site=good, sts=Sts.ENFORCE_WILDCARD, level="verified", weight=2),
        Domain(name=f"sts-wild-wrong.{PLAIN}", site=wrong, sts=Sts.ENFORCE_WILDCARD, weight=2, fate=NO_TLS),
        Domain(name=f"sts-off.{PLAIN}", site=wrong, sts=Sts.MODE_NONE, weight=2),
        Domain(name=f"sts-strange.{PLAIN}", site=wrong, sts=Sts.STRANGE_HOST, weight=2),
        Domain(name=f"sts-two.{PLAIN}", site=_two("two", PLAIN, 25, 26), sts=Sts.ENFORCE, level="verified", weight=2),
        Domain(
            name=f"dane-311.{SIGNED}", site=_dane("key", 30, Tls.SELF_SIGNED, Tlsa.KEY), level="verified", weight=10
        ),
        Domain(
            name=f"dane-211.{SIGNED}",
            site=_dane("authority", 31, Tls.GOOD, Tlsa.AUTHORITY),
            level="verified",
            weight=10,
        ),
        Domain(name=f"dane-bad.{SIGNED}", site=bad, weight=2, fate=NO_TLS),
        # RFC 7672 §2.2.1 leaves it to us whether TLSA records count where nobody vouches for the MX records; they do.
        Domain(name=f"dane-mx.{PLAIN}", site=bad, weight=2, fate=NO_TLS),
        Domain(
            name=f"dane-bad-211.{SIGNED}",
            site=_dane("bad-authority", 33, Tls.GOOD, Tlsa.OTHER_AUTHORITY),
            weight=2,
            fate=NO_TLS,
        ),
        Domain(
            name=f"dane-211-name.{SIGNED}",
            site=_dane("name", 34, Tls.WRONG_NAME, Tlsa.AUTHORITY),
            weight=2,
            fate=NO_TLS,
        ),
        Domain(name=f"dane-none.{SIGNED}", site=_dane("nothing", 35, Tls.NONE, Tlsa.KEY), weight=2, fate=NO_TLS),
        Domain(
            name=f"dane-roll.{SIGNED}",
            site=_dane("roll", 36, Tls.GOOD, Tlsa.OTHER_KEY, Tlsa.KEY),
            level="verified",
            weight=2,
        ),
        Domain(name=f"dane-alias.{SIGNED}", site=_alias(), level="verified", weight=2),
        Domain(
            name=f"dane-two.{SIGNED}",
            site=_two("dane-two", SIGNED, 42, 43, (Tlsa.OTHER_KEY,), (Tlsa.KEY,)),
            level="verified",
            weight=2,
        ),
        Domain(name=f"dane-unusable.{SIGNED}", site=_dane("unusable", 37, Tls.WRONG_NAME, Tlsa.UNUSABLE), weight=2),
        Domain(
            name=f"dane-bogus.{SIGNED}",
            site=_dane("bogus", 38, Tls.GOOD, Tlsa.KEY, bogus=True),
            weight=2,
            fate=NO_TLS,
        ),
        Domain(name=f"dane-plain.{PLAIN}", site=_one("dane-plain", PLAIN, 39, Tls.GOOD, Tlsa.OTHER_KEY), weight=5),
        Domain(
            name=f"dane-sts.{SIGNED}",
            site=_dane("sts", 40, Tls.WRONG_NAME, Tlsa.KEY),
            sts=Sts.ENFORCE,
            level="verified",
            weight=2,
        ),
    )


def _one(name: str, zone: str, address: int, tls: Tls, *tlsa: Tlsa, bogus: bool = False) -> Site:
    host = Host(name=f"mx.{name}.{zone}", address=address, tls=tls, tlsa=tlsa, tlsa_is_bogus=bogus)
    return Site(name, (host,))


def _dane(name: str, address: int, tls: Tls, *tlsa: Tlsa, bogus: bool = False) -> Site:
    return _one(f"dane-{name}", SIGNED, address, tls, *tlsa, bogus=bogus)


def _alias() -> Site:
    """Its MX record names an alias of the host; the TLSA records stand where the host is (RFC 7672 §2.2.3)."""
    name, alias = f"mx.dane-alias.{SIGNED}", f"mail.dane-alias.{SIGNED}"
    return Site("dane-alias", (Host(name=name, address=41, tls=Tls.SELF_SIGNED, tlsa=(Tlsa.KEY,), alias=alias),))


def _two(
    name: str, zone: str, first: int, second: int, tlsa: tuple[Tlsa, ...] = (), other_tlsa: tuple[Tlsa, ...] = ()
) -> Site:
    """The first of its hosts cannot show what is asked for, the second can."""
    hosts = (
        Host(name=f"mx1.{name}.{zone}", address=first, tls=Tls.WRONG_NAME, tlsa=tlsa),
        Host(name=f"mx2.{name}.{zone}", address=second, preference=20, tlsa=other_tlsa),
    )
    return Site(name, hosts)


def shaping(world: World) -> list[dict[str, object]]:
    """The rules of the sites that have told theirs, as ``[[shaping]]`` in the settings."""
    found: list[dict[str, object]] = []
    for name in TOLD:
        rules = world.sites[name].manner.rules
        rule: dict[str, object] = {"name": name, "mx": [f"*.{name}.{PLAIN}"]}
        if rules.connections:
            rule["concurrency"] = rules.connections
        if rules.messages_per_connection:
            rule["messages_per_connection"] = rules.messages_per_connection
        if rules.rate is not None:
            rule["message_rates"] = [f"{rules.rate.count}/{rules.rate.seconds:.0f}s"]
        found.append(rule)
    return found
