"""Shapes of content that are easily changed on the way from one server to the next."""

from tests.system.setups import content

CONTENTS = {
    "everything": content("everything"),
    "empty-body": b"From: a@example.org\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: empty\r\n\r\n",
    "no-header": b"\r\njust a body\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n\r\n.\r\n",
    "blank-lines": b"Subject: blanks\r\n\r\n\r\n\r\n \r\n\t\r\n\r\n\r\n",
    "signed": b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=abc\r\n  def;\r\n\tbh=xyz\r\nFROM:\tA  <a@example.org>\r\n"
    b"sUbJeCt:odd  case\r\nSubject: twice\r\n\r\nbody  with   spaces  \r\n",
    "large": content("large") + b"".join(b"%07d " % n + b"l" * (n % 900) + b"\r\n" for n in range(2000)),
}
