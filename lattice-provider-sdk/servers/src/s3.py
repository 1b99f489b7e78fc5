"""Runs moto, a server of S3: s3.py PORT FILE [signed]

It takes requests of Google's client too: the XML API of Google Cloud
Storage is that of S3, but for the names of some headers. Writes `ready` to FILE once it listens.
With `signed`, it has a bucket `signed`, checks the signature of each request, and writes the id and
the secret of a key of its only user to FILE.
"""
import json
import os
import pathlib
import sys
import threading

port, file = int(sys.argv[1]), pathlib.Path(sys.argv[2])
# Lists have pages, although tests have few objects.
os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "25"
# How many requests aren't checked: those that are made here.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4" if "signed" in sys.argv else "inf"

from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402, it reads the variables
from werkzeug.serving import make_server  # noqa: E402, it comes with moto

SIGNED = "AWS4-HMAC-SHA256 Credential=any/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def either(app):
    """Gives the headers of a request of Google's client the names and the form that S3 has."""

    def serve(request, start_response):
        # Without a token, that client leaves the header out, or says no more than its kind.
        if request.get("HTTP_AUTHORIZATION", "Bearer").startswith("Bearer"):
            request["HTTP_AUTHORIZATION"] = SIGNED
            for name in [name for name in request if name.startswith("HTTP_X_GOOG_")]:
                request[name.replace("_GOOG_", "_AMZ_")] = request.pop(name)
        return app(request, start_response)

    return serve


app = DomainDispatcherApplication(create_backend_app)
if "signed" not in sys.argv:
    app = either(app)
server = make_server("127.0.0.1", port, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
ready = "ready"
if "signed" in sys.argv:
    import boto3

    def client(service):
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )

    iam, name = client("iam"), "user"
    client("s3").create_bucket(Bucket="signed")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    ready = f"{key['AccessKeyId']} {key['SecretAccessKey']}"
part = file.with_suffix(".part")
part.write_text(ready)
part.rename(file)
threading.Event().wait()
