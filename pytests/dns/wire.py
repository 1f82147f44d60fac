"""DNS messages, as far as a name server for tests needs them (RFC 1035, 9460)."""
import ipaddress
import struct

TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16,
    "AAAA": 28, "SRV": 33, "NAPTR": 35, "OPT": 41, "SVCB": 64, "HTTPS": 65,
    "ANY": 255, "URI": 256, "CAA": 257,
}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
IN = 1
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
_RESPONSE = 0x8580  # a response, authoritative, recursion wanted and available
_TRUNCATED = 0x0200


class Question:
    """What a query asks for.

    ``name`` is in lower case and without the last dot, ``wire`` the question
    section as it came, ``payload`` the largest UDP answer that is welcome.
    """

    def __init__(self, message):
        self.id, _flags, _questions, _, _, additional = struct.unpack_from(
            "!6H", message)
        labels, at = [], 12
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode(
                "latin-1"))
            at += 1 + message[at]
        number, _class = struct.unpack_from("!HH", message, at + 1)
        self.name = ".".join(labels).lower()
        self.type = TYPE_NAMES.get(number, str(number))
        self.wire = message[12:at + 5]
        self.payload = 512
        if additional:  # an OPT record, whose class is the size
            self.payload = struct.unpack_from("!H", message, at + 8)[0]


def encode_name(name):
    wire = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else ():
        data = label.encode("latin-1")
        wire += bytes([len(data)]) + data
    return wire + b"\0"


def _strings(texts):
    data = [text.encode("latin-1") for text in texts]
    return b"".join(bytes([len(text)]) + text for text in data)


def _address(text):
    return ipaddress.ip_address(text).packed


def _soa(primary, mailbox, *numbers):
    return (encode_name(primary) + encode_name(mailbox)
            + struct.pack("!5I", *numbers))


def _srv(priority, weight, port, target):
    return struct.pack("!3H", priority, weight, port) + encode_name(target)


def _naptr(order, preference, flags, service, regexp, replacement):
    return (struct.pack("!2H", order, preference)
            + _strings([flags, service, regexp]) + encode_name(replacement))


def _svcb(priority, target, *parameters):
    """*parameters* are pairs of a key's number and its value in hexadecimal."""
    wire = struct.pack("!H", priority) + encode_name(target)
    for key, value in parameters:
        data = bytes.fromhex(value)
        wire += struct.pack("!2H", key, len(data)) + data
    return wire


_ENCODERS = {
    "A": _address,
    "AAAA": _address,
    "CNAME": encode_name,
    "NS": encode_name,
    "PTR": encode_name,
    "MX": lambda preference, host: (struct.pack("!H", preference)
                                    + encode_name(host)),
    "TXT": lambda *texts: _strings(texts),
    "SOA": _soa,
    "SRV": _srv,
    "CAA": lambda critical, tag, value: (bytes([critical]) + _strings([tag])
                                         + value.encode("latin-1")),
    "NAPTR": _naptr,
    "URI": lambda priority, weight, target: (
        struct.pack("!2H", priority, weight) + target.encode("latin-1")),
    "SVCB": _svcb,
    "HTTPS": _svcb,
}


def encode_record(name, kind, ttl, value):
    """One record; *value* is a text or a list of what the type consists of."""
    values = value if isinstance(value, list) else [value]
    data = _ENCODERS[kind](*values)
    return (encode_name(name)
            + struct.pack("!HHIH", TYPES[kind], IN, ttl, len(data)) + data)


def encode_response(question, code, answers=(), authority=(), wire=None,
                    truncated=False, ident=None):
    """A response to *question*; *wire* in place of its question section."""
    flags = _RESPONSE | code | (_TRUNCATED if truncated else 0)
    header = struct.pack("!6H", question.id if ident is None else ident,
                         flags, 1, len(answers), len(authority), 0)
    return (header + (question.wire if wire is None else wire)
            + b"".join(answers) + b"".join(authority))
