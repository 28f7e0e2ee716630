"""Revokes and introspects tokens with Authlib, oauthlib and requests-oauthlib.

scripts_test.go writes the addresses, clients and tokens to standard input. Authlib and requests put id and secret into Basic
as they are. RFC 6749, section 2.3.1, requires them form-encoded.
"""

import json
import os
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # a server on loopback, without TLS
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

given = json.load(sys.stdin)
metadata = requests.get(given["issuer"] + "/.well-known/openid-configuration").json()
revocation, introspection = metadata["revocation_endpoint"], metadata["introspection_endpoint"]


def want(response, status, error=None):
    assert response.status_code == status, (response.status_code, response.text)
    if error is not None:
        assert response.json()["error"] == error, response.text


def lives(token):
    session = OAuth2Session(token={"access_token": token, "token_type": "Bearer"})
    want(session.get(given["api"]), 200)


def is_dead(token):
    session = OAuth2Session(token={"access_token": token, "token_type": "Bearer"})
    response = session.get(given["api"])
    want(response, 401)
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def by_authlib(client, secret, method):
    session = AuthlibSession(client["id"], secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method)
    return (
        lambda token, hint: session.revoke_token(revocation, token=token, token_type_hint=hint),
        lambda token: session.introspect_token(introspection, token=token),
    )


def by_oauthlib(client, secret, method):
    """oauthlib prepares the request, and requests sends it."""
    prepare = WebApplicationClient(client["id"]).prepare_token_revocation_request
    auth = HTTPBasicAuth(client["id"], secret) if method == "client_secret_basic" else None
    body = "" if auth else requests.models.RequestEncodingMixin._encode_params({"client_id": client["id"], "client_secret": secret})

    def revoke(token, hint):
        url, headers, data = prepare(revocation, token, token_type_hint=hint, body=body)
        return requests.post(url, data=data, headers=headers, auth=auth)

    def introspect(token):
        data = {"token": token}
        if not auth:
            data.update(client_id=client["id"], client_secret=secret)
        return requests.post(introspection, data=data, auth=auth)

    return revoke, introspect


revoked = 0
for client in given["clients"]:
    for library in by_authlib, by_oauthlib:
        for method in "client_secret_basic", "client_secret_post":
            revoke, introspect = library(client, client["secret"], method)
            token = client["tokens"].pop()
            lives(token)
            response = introspect(token)
            want(response, 200)
            assert response.json()["active"] is True and response.json()["client_id"] == client["id"], response.text

            want(revoke(token, "access_token"), 200)
            is_dead(token)
            assert introspect(token).json() == {"active": False}
            want(revoke(token, "refresh_token"), 200)
            want(revoke("not.a.token", "no_such_hint"), 200)

            want(revoke(client["foreign"], "access_token"), 400, "invalid_request")
            revoke_wrongly, introspect_wrongly = library(client, client["secret"] + "x", method)
            want(revoke_wrongly(client["foreign"], "access_token"), 401, "invalid_client")
            want(introspect_wrongly(client["foreign"]), 401, "invalid_client")
            lives(client["foreign"])
            revoked += 1
            print(f"{library.__name__}, {method}, {client['secret']!r}: revoked")
assert revoked > 0
