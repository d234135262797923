"""SASLprep: the one form of a name or password, however it was typed (RFC 4013, a profile of RFC 3454).

RFC 5802 and RFC 7677 demand it of both sides of SCRAM. RFC 8265 has replaced it since, but peers still do this one, and
a proof made of another form is a wrong proof. For ASCII, and for nearly all that is typed, the two are the same.
"""

import stringprep
import unicodedata

_PROHIBITED = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """The prepared text; characters newer than Unicode 3.2 pass, as in a query (RFC 3454 §7).

    ValueError, without quoting it, if it has a character that is prohibited or if nothing is left of it.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    mapped = [
        " " if stringprep.in_table_c12(character) else character  # RFC 4013 §2.1
        for character in text
        if not stringprep.in_table_b1(character)
    ]
    prepared = unicodedata.normalize("NFKC", "".join(mapped))  # RFC 4013 §2.2
    if not prepared:
        raise ValueError("nothing is left of the text")
    if any(table(character) for character in prepared for table in _PROHIBITED):
        raise ValueError("the text has a prohibited character")
    if any(map(stringprep.in_table_d1, prepared)):  # RFC 3454 §6: right to left is all or nothing
        ends = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends or any(map(stringprep.in_table_d2, prepared)):
            raise ValueError("the text mixes right-to-left and left-to-right characters")
    return prepared
