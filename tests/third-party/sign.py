"""Signs with the PyPI generator: one JSON request on standard input, one JSON array of UserSigs out."""

import base64
import json
import sys

import TLSSigAPIv2

request = json.load(sys.stdin)
api = TLSSigAPIv2.TLSSigAPIv2(request["sdkappid"], request["key"])


def sign(user, expire, userbuf=None):
    if userbuf is None:
        return api.gen_sig(user, expire)
    return api.gen_sig_with_userbuf(user, expire, base64.b64decode(userbuf))


print(json.dumps([sign(**one) for one in request["requests"]]))
