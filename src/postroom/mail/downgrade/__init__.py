"""Makes a message fit for a host that lacks 8BITMIME or BINARYMIME, without losing an octet (RFC 6152 §3, RFC 3030 §3).

Two passes over the content, neither of which holds it whole: ``survey`` reads the structure and says what must change
where, ``splice`` makes the changes while the content goes out.
"""
