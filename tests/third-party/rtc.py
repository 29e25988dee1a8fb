"""Calls the RTC API with the official SDK for Python, as it comes from PyPI: by endpoint and protocol alone.

Reads {"endpoint", "id", "key", "signMethod", "method", "calls": [[action, parameters], ...]} and prints what came of each call: the
answer's fields, or {"code", "message", "requestId"} of what the SDK raised. With "all" for calls, every action that it has is called
with no parameters.
"""
import json
import sys

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models, trtc_client

task = json.load(sys.stdin)
http = HttpProfile(protocol="http", endpoint=task["endpoint"], reqMethod=task["method"], reqTimeout=30, keepAlive=True)
profile = ClientProfile(signMethod=task["signMethod"], httpProfile=http)
client = trtc_client.TrtcClient(credential.Credential(task["id"], task["key"]), "ap-guangzhou", profile)


def call(action, parameters):
    request = getattr(models, action + "Request")()
    request.from_json_string(json.dumps(parameters))
    try:
        return json.loads(getattr(client, action)(request).to_json_string())
    except TencentCloudSDKException as error:
        return {"action": action, "code": error.get_code(), "message": error.get_message(), "requestId": error.get_request_id()}


calls = task["calls"]
if calls == "all":
    calls = [[name, {}] for name in dir(client) if name[0].isupper() and hasattr(models, name + "Request")]
print(json.dumps([call(action, parameters) for action, parameters in calls]))
