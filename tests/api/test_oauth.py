"""OAuth clients: tokens by the vendor's call and the standard's, and what becomes of them (contract §3)."""

import base64
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.jwk import RSAKey
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError  # type: ignore[import-untyped]
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]

from milepost.actions.sealing import Seal
from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service
from tests.scenarios.vocabulary import Challenge, define_milestone

SECRET_KEY = "a secret key of the tests, of 40 letters"
CLOCK = "/milepost/v1/clock"
TTL_SECONDS = 0.2


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    """What was verified is believed for a fifth of a second."""
    return Settings(
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        secret_key=SECRET_KEY,
        credential_ttl_seconds=TTL_SECONDS,
        log_requests="all",
    )


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation that several tests share."""
    return service.new_org()


@pytest.fixture(scope="module")
def anybody(service: Service) -> httpx.Client:
    """A client without credentials."""
    return service.connect()


@pytest.fixture(scope="module")
def client(service: Service, shop: Org) -> tuple[str, str]:
    """Key and secret of a client that may do everything these tests do."""
    return new_client(service, shop)


def new_client(service: Service, org: Org, **fields: Any) -> tuple[str, str]:
    access = {"Organization": "WRITE", "Target Loyalty": "WRITE", "Customer": "WRITE"}
    body = {"orgId": org.id, "type": "OAUTH", "access": access, **fields}
    response = service.operator.post("/milepost/v1/credentials", json=body)
    assert response.status_code == 201, response.text
    oauth = response.json()["data"]["oauth"]
    return oauth["key"], oauth["secret"]


def generate(anybody: httpx.Client, client: tuple[str, str]) -> str:
    body = {"key": client[0], "secret": client[1]}
    response = anybody.post("/v3/oauth/token/generate", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["data"]["accessToken"])


def status(anybody: httpx.Client, token: str | bytes) -> int:
    value = token.encode() if isinstance(token, str) else token
    response = anybody.get(CLOCK, headers={b"X-CAP-API-OAUTH-TOKEN": value})
    if response.status_code == 401:
        assert [error["code"] for error in response.json()["errors"]] == [401]
    return response.status_code


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = (part + "==" for part in token.split("."))
    return json.loads(base64.urlsafe_b64decode(header)), json.loads(
        base64.urlsafe_b64decode(claims)
    )


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def keys(service: Service, org: Org) -> list[dict[str, Any]]:
    response = service.operator.get(f"/milepost/v1/orgs/{org.id}/signing-keys")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


def rotate(service: Service, org: Org, **body: Any) -> list[dict[str, Any]]:
    path = f"/milepost/v1/orgs/{org.id}/signing-keys"
    response = service.operator.post(path, json=body) if body else service.operator.post(path)
    assert response.status_code == 201, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


def private_key(database_url: str, org: Org) -> tuple[str, RSAKey]:
    """The key that the organisation signs with, opened with the service's secret key."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT kid, private_key_encrypted FROM signing_keys WHERE org_id = %s AND retired_at IS NULL",
            (org.id,),
        ).fetchone()
    assert row is not None
    pem = Seal(SECRET_KEY, "signing keys").open(row[1])
    assert pem is not None
    return row[0], RSAKey.import_key(pem)


# Getting a token.


def test_the_vendors_call_answers_a_signed_token_and_its_ttl(
    anybody: httpx.Client, shop: Org, client: tuple[str, str]
) -> None:
    body = {"key": client[0], "secret": client[1]}
    response = anybody.post("/v3/oauth/token/generate", json=body)
    answer = response.json()
    token = answer["data"]["accessToken"]
    assert answer == {"data": {"accessToken": token, "ttlSeconds": 300}, "errors": None}
    assert response.headers["Cache-Control"] == "no-store"
    header, claims = parts(token)
    assert header == {"typ": "JWT", "alg": "RS256", "kid": header["kid"]}
    assert claims == {
        "iss": "Milepost",
        "sub": client[0],
        "client_id": client[0],
        "org_id": shop.id,
        "token_use": "token_access",
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["iat"] + 300,
    }
    assert generate(anybody, client) != token


@pytest.mark.parametrize(
    ("key", "secret"), [("nobody", "{secret}"), ("{key}", "wrong"), ("{secret}", "{key}")]
)
def test_a_wrong_key_or_secret_is_401_in_either_form(
    anybody: httpx.Client, client: tuple[str, str], key: str, secret: str
) -> None:
    known = {"key": client[0], "secret": client[1]}
    key, secret = key.format(**known), secret.format(**known)
    refused = anybody.post("/v3/oauth/token/generate", json={"key": key, "secret": secret})
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["code"] == 401
    refused = anybody.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(key, secret)
    )
    assert refused.status_code == 401
    assert refused.json()["error"] == "invalid_client"
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"key": "a"}',
        b'{"key": "a", "secret": null}',
        b'{"key": "a", "secret": 5}',
        b'{"key": "", "secret": "a"}',
        b'{"key": "a\\u0000", "secret": "a"}',
        b"key=a&secret=b",
        b'{"key": "' + b"a" * 1_001 + b'", "secret": "a"}',
    ],
)
def test_a_malformed_request_for_a_token_is_300004(anybody: httpx.Client, body: bytes) -> None:
    refused = anybody.post("/v3/oauth/token/generate", content=body)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 300004)


def test_a_till_is_no_oauth_client_and_a_client_no_till(
    service: Service, anybody: httpx.Client, shop: Org, client: tuple[str, str]
) -> None:
    body = {"key": shop.username, "secret": shop.password}
    assert anybody.post("/v3/oauth/token/generate", json=body).status_code == 401
    assert service.connect(auth=client).get(CLOCK).status_code == 401


def test_the_standard_form_takes_the_client_as_basic_or_in_the_form(
    anybody: httpx.Client, client: tuple[str, str]
) -> None:
    form = {"grant_type": "client_credentials", "scope": "ignored"}
    fields = {"client_id": client[0], "client_secret": client[1]}
    for answer in (
        anybody.post("/oauth/token", data=form, auth=client),
        anybody.post("/oauth/token", data={**form, "client_id": client[0]}, auth=client),
        anybody.post("/oauth/token", data={**form, **fields}),
    ):
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        assert answer.json() == {"access_token": token, "token_type": "Bearer", "expires_in": 300}
        assert answer.headers["Cache-Control"] == "no-store"
        assert status(anybody, token) == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (b"", "invalid_request"),
        (b'{"grant_type": "client_credentials"}', "invalid_request"),
        (b"grant_type=", "invalid_request"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        (b"grant_type=client_credentials&client_secret=a", "invalid_request"),
        (b"grant_type=client_credentials&client_id=another", "invalid_request"),
        (b"grant_type=client_credentials&x=%ff", "invalid_request"),
        (b"grant_type=client_credentials\xff", "invalid_request"),
        (b"&".join(b"a%d=1" % number for number in range(40)), "invalid_request"),
        (b"grant_type=password", "unsupported_grant_type"),
        (b"grant_type=authorization_code&code=1", "unsupported_grant_type"),
    ],
)
def test_a_wrong_form_is_refused_as_the_standard_says(
    anybody: httpx.Client, client: tuple[str, str], form: bytes, error: str
) -> None:
    refused = anybody.post("/oauth/token", content=form, auth=client)
    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert refused.json()["error_description"]


def test_no_or_a_broken_client_is_invalid_client(anybody: httpx.Client) -> None:
    form = {"grant_type": "client_credentials"}
    for headers in ({}, {"Authorization": "Basic !"}, {"Authorization": f"Bearer {ADMIN_TOKEN}"}):
        refused = anybody.post("/oauth/token", data=form, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    refused = anybody.post("/oauth/token", data={**form, "client_id": "a\0", "client_secret": "b"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_a_form_is_bounded_and_not_compressed(
    anybody: httpx.Client, client: tuple[str, str]
) -> None:
    for path in ("/oauth/token", "/oauth/revoke"):
        assert anybody.post(path, content=b"a" * 16_385, auth=client).status_code == 413
        headers = {"Content-Encoding": "gzip"}
        assert anybody.post(path, content=b"a", headers=headers).status_code == 415


# Stock clients of others.


def enrol_path(milestone: Challenge) -> str:
    return f"/v3/targetGroups/{milestone.group_id}/targets/{milestone.target_id}/enroll"


def test_authlibs_stock_client_gets_a_token_and_enrols_a_customer(
    service: Service, shop: Org, client: tuple[str, str]
) -> None:
    milestone = define_milestone(shop)
    for method in ("client_secret_basic", "client_secret_post"):
        customer = shop.register()
        with AuthlibSession(*client, token_endpoint_auth_method=method) as session:
            session.fetch_token(f"{service.url}/oauth/token", grant_type="client_credentials")
            enrolled = session.post(
                service.url + enrol_path(milestone), json=[{"customerId": customer}]
            )
        assert (enrolled.status_code, enrolled.json()["data"]) == (200, customer)


def test_requests_oauthlibs_stock_client_gets_a_token_and_enrols_a_customer(
    service: Service, shop: Org, client: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # loopback speaks no TLS
    milestone = define_milestone(shop)
    customer = shop.register()
    with OAuth2Session(client=BackendApplicationClient(client_id=client[0])) as session:
        url = f"{service.url}/oauth/token"
        with pytest.raises(InvalidClientError):
            session.fetch_token(url, client_id=client[0], client_secret="wrong")
        session.fetch_token(url, client_id=client[0], client_secret=client[1])
        enrolled = session.post(
            service.url + enrol_path(milestone), json=[{"customerId": customer}]
        )
        assert (enrolled.status_code, enrolled.json()["data"]) == (200, customer)


def test_a_flood_of_calls_for_tokens_is_bounded_and_leaves_the_tills_theirs(
    service: Service, anybody: httpx.Client, shop: Org
) -> None:
    body = {"orgId": shop.id, "type": "TILL", "access": {"Organization": "READ"}}
    till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
    client = service.connect(auth=(till["username"], till["password"]))

    def guess(number: int) -> int:
        wrong = {"key": f"key-{number}", "secret": "wrong"}
        return anybody.post("/v3/oauth/token/generate", json=wrong).status_code

    with ThreadPoolExecutor(90) as threads:
        guesses = [threads.submit(guess, number) for number in range(90)]
        assert client.get(CLOCK).status_code == 200
    assert {each.result() for each in guesses} <= {401, 503}


# Where a token is sent.


def test_a_token_is_taken_in_each_of_its_headers_with_or_without_bearer(
    anybody: httpx.Client, client: tuple[str, str]
) -> None:
    token = generate(anybody, client)
    for headers in (
        {"X-CAP-API-OAUTH-TOKEN": token},
        {"X-CAP-API-OAUTH-TOKEN": f"Bearer {token}"},
        {"X-Cap-Api-Oauth-Token": f"bearer  {token}"},
        {"CAP-API-ACCESS-TOKEN": token},
        {"CAP-API-ACCESS-TOKEN": f"Bearer {token}"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"BEARER {token}"},
        {"X-CAP-API-OAUTH-TOKEN": "", "Authorization": f"Bearer {token}"},
    ):
        assert anybody.get(CLOCK, headers=headers).status_code == 200, headers
    for headers in (
        {"Authorization": token},
        {"Authorization": f"Token {token}"},
        {"Authorization": "Bearer"},
        {"X-CAP-API-OAUTH-TOKEN": f"Bearer Bearer {token}"},
    ):
        assert anybody.get(CLOCK, headers=headers).status_code == 401, headers


def test_a_token_in_its_own_header_decides_whatever_authorization_says(
    service: Service, shop: Org, anybody: httpx.Client, client: tuple[str, str]
) -> None:
    token = generate(anybody, client)
    other = service.new_org(now="2027-01-01T00:00:00Z")
    both = other.client.get(CLOCK, headers={"X-CAP-API-OAUTH-TOKEN": token})
    assert both.json()["data"]["now"] == shop.now()
    both = other.client.get(CLOCK, headers={"X-CAP-API-OAUTH-TOKEN": token[:-4]})
    assert both.status_code == 401


def test_the_operators_routes_take_no_token(anybody: httpx.Client, client: tuple[str, str]) -> None:
    token = generate(anybody, client)
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"X-CAP-API-OAUTH-TOKEN": token},
        {"X-CAP-API-OAUTH-TOKEN": ADMIN_TOKEN},
    ):
        assert anybody.get("/milepost/v1/orgs", headers=headers).status_code == 401
    assert anybody.get(CLOCK, headers={"X-CAP-API-OAUTH-TOKEN": ADMIN_TOKEN}).status_code == 401


# Tokens that are not valid.


@pytest.fixture
def valid(anybody: httpx.Client, client: tuple[str, str]) -> str:
    token = generate(anybody, client)
    assert status(anybody, token) == 200
    return token


def test_a_token_altered_by_any_one_bit_is_401(anybody: httpx.Client, valid: str) -> None:
    def altered() -> Iterator[str]:
        """Each bit of every seventh character, of all the dots, and of the last characters."""
        octets = valid.encode()
        dots = [place for place, octet in enumerate(octets) if octet == ord(".")]
        for place in {*range(0, len(octets), 7), *dots, *range(len(octets) - 4, len(octets))}:
            for bit in range(7):
                changed = octets[place] ^ (1 << bit)
                if changed > 0x20 and changed != 0x7F:  # else no header can carry it
                    yield (octets[:place] + bytes([changed]) + octets[place + 1 :]).decode()

    tokens = list(altered())
    assert len(tokens) > 400
    assert {status(anybody, token) for token in tokens} == {401}


def test_a_token_written_otherwise_is_401(anybody: httpx.Client, valid: str) -> None:
    header, claims, signature = valid.split(".")
    for token in (
        f"{valid}=",
        f"{valid}==",
        f"{valid}.",
        f".{valid}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{header}..{signature}",
        f"{header}.{claims}.{signature}.{signature}",
        f"{header}.{claims}.{signature[:-1]}",
        f"{header}.{claims}.{signature}A",
        f"{header}.{claims}.{signature[:9]}\t{signature[9:]}",
        valid.upper(),
        "." * 2,
        "\u00e9" * 20,
        f"{header}.{claims}.{signature}" * 9,
        "e30.e30.",
        f"{encoded([])}.{claims}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 5})}.{claims}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 'a' * 32})}.{claims}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': ['0' * 32]})}.{claims}.{signature}",
        "[" * 2_000 + ".e30.e30",
    ):
        assert status(anybody, token.encode("latin-1")) == 401, token


def test_another_algorithm_than_rs256_is_401_whatever_signed_it(
    anybody: httpx.Client, service: Service, shop: Org, database_url: str, valid: str
) -> None:
    header, claims = parts(valid)
    kid, key = private_key(database_url, shop)
    assert kid == header["kid"]
    unsigned = encoded({**header, "alg": "none"}) + "." + valid.split(".")[1] + "."
    assert status(anybody, unsigned) == 401
    assert status(anybody, unsigned + valid.split(".")[2]) == 401
    assert status(anybody, unsigned.replace("none", "None")) == 401
    # The public key, which anybody may have, as the secret of a signature that needs none.
    text = encoded({**header, "alg": "HS256"}) + "." + valid.split(".")[1]
    mac = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
    tokens = [
        text + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode(),
        jwt.encode({**header, "alg": "RS512"}, claims, key, algorithms=["RS512"]),
        jwt.encode({**header, "alg": "PS256"}, claims, key, algorithms=["PS256"]),
    ]
    assert [status(anybody, token) for token in tokens] == [401] * 3


def test_a_token_of_another_organisations_key_is_401(
    anybody: httpx.Client, service: Service, shop: Org, database_url: str, valid: str
) -> None:
    other = service.new_org()
    generate(anybody, new_client(service, other))
    header, claims = parts(valid)
    kid, key = private_key(database_url, other)
    for named in (header["kid"], kid):
        forged = jwt.encode({"alg": "RS256", "kid": named}, claims, key, algorithms=["RS256"])
        assert status(anybody, forged) == 401
    # The other's key, for the other, but in the name of a client of ours.
    mixed = {**claims, "org_id": other.id}
    forged = jwt.encode({"alg": "RS256", "kid": kid}, mixed, key, algorithms=["RS256"])
    assert status(anybody, forged) == 401
    unknown = RSAKey.generate_key(2_048, private=True)
    forged = jwt.encode(header, claims, unknown, algorithms=["RS256"])
    assert status(anybody, forged) == 401


def test_expired_or_otherwise_wrong_claims_are_401(
    anybody: httpx.Client, shop: Org, database_url: str, valid: str
) -> None:
    header, claims = parts(valid)
    _, key = private_key(database_url, shop)

    def signed(**changes: Any) -> str:
        made = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(header, made, key, algorithms=["RS256"])

    now = int(datetime.now(UTC).timestamp())
    assert status(anybody, signed(iat=now, exp=now + 3_600)) == 200
    for changes in (
        {"exp": now - 1},
        {"exp": now},
        {"exp": None},
        {"exp": str(now + 300)},
        {"exp": now + 300.5},
        {"exp": 10**30},
        {"exp": now + 86_400},
        {"iss": "Somebody"},
        {"token_use": "token_refresh"},
        {"org_id": shop.id + 1_000_000},
        {"org_id": str(shop.id)},
        {"client_id": "nobody"},
        {"client_id": None},
        {"jti": 5},
        {"jti": None},
    ):
        assert status(anybody, signed(**changes)) == 401, changes


def test_a_token_is_believed_until_it_expires_and_no_longer(
    anybody: httpx.Client, shop: Org, database_url: str, valid: str
) -> None:
    header, claims = parts(valid)
    _, key = private_key(database_url, shop)
    now = datetime.now(UTC).timestamp()
    claims |= {"iat": int(now) - 60, "exp": int(now + 1.2)}
    token = jwt.encode(header, claims, key, algorithms=["RS256"])
    assert status(anybody, token) == 200
    while datetime.now(UTC).timestamp() < claims["exp"]:
        pass
    assert status(anybody, token) == 401


# Time to live, revocation.


def test_a_clients_ttl_is_its_own_from_one_minute_to_an_hour(
    anybody: httpx.Client, service: Service, shop: Org
) -> None:
    for ttl_seconds in (60, 3_600):
        client = new_client(service, shop, tokenTtlSeconds=ttl_seconds)
        _, claims = parts(generate(anybody, client))
        assert claims["exp"] - claims["iat"] == ttl_seconds
    for wrong in (59, 3_601, "60", 60.5, True):
        body = {"orgId": shop.id, "type": "OAUTH", "tokenTtlSeconds": wrong}
        response = service.operator.post("/milepost/v1/credentials", json=body)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 300004)


def test_a_client_revokes_a_token_of_its_own_at_once(
    anybody: httpx.Client, client: tuple[str, str], database_url: str, valid: str
) -> None:
    other = generate(anybody, client)
    for _ in range(2):
        revoked = anybody.post("/oauth/revoke", data={"token": valid}, auth=client)
        assert (revoked.status_code, revoked.json()) == (200, {})
    assert status(anybody, valid) == 401
    assert status(anybody, other) == 200
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT jti FROM revoked_tokens").fetchall()
    assert row == [(parts(valid)[1]["jti"],)]


def test_what_is_not_the_clients_own_valid_token_is_answered_200_and_stays(
    anybody: httpx.Client, service: Service, shop: Org, client: tuple[str, str], valid: str
) -> None:
    another = new_client(service, shop)
    for sent, by in (("unknown", client), (valid[:-1], client), (valid, another)):
        assert anybody.post("/oauth/revoke", data={"token": sent}, auth=by).status_code == 200
    assert status(anybody, valid) == 200
    refused = anybody.post("/oauth/revoke", data={"token": valid}, auth=(client[0], "wrong"))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    refused = anybody.post("/oauth/revoke", data={}, auth=client)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert status(anybody, valid) == 200


def test_notes_of_revoked_tokens_go_once_those_have_expired(
    anybody: httpx.Client, service: Service, database_url: str
) -> None:
    org = service.new_org()
    client = new_client(service, org)
    count = "SELECT count(*) FROM revoked_tokens WHERE org_id = %s"
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(2):
            token = generate(anybody, client)
            anybody.post("/oauth/revoke", data={"token": token}, auth=client)
            assert connection.execute(count, (org.id,)).fetchone() == (1,)
            connection.execute("UPDATE revoked_tokens SET expires_at = now() - interval '1s'")


def test_a_revoked_client_and_its_tokens_end_within_the_time_that_they_are_believed(
    anybody: httpx.Client, service: Service, shop: Org
) -> None:
    key, secret = new_client(service, shop)
    token = generate(anybody, (key, secret))
    assert status(anybody, token) == 200
    listed = service.operator.get(f"/milepost/v1/credentials?orgId={shop.id}").json()["data"]
    (number,) = [each["credentialId"] for each in listed if each["name"] == key]
    assert service.operator.delete(f"/milepost/v1/credentials/{number}").status_code == 200
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while status(anybody, token) == 200:
        assert datetime.now(UTC) < deadline
    body = {"key": key, "secret": secret}
    while anybody.post("/v3/oauth/token/generate", json=body).status_code == 200:
        assert datetime.now(UTC) < deadline
    assert anybody.post("/v3/oauth/token/generate", json=body).status_code == 401


# Keys.


def test_many_first_tokens_at_once_are_signed_with_one_key(
    anybody: httpx.Client, service: Service
) -> None:
    org = service.new_org()
    clients = [new_client(service, org) for _ in range(4)]
    assert keys(service, org) == []
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda client: generate(anybody, client), clients * 2))
    (key,) = keys(service, org)
    assert {parts(token)[0]["kid"] for token in tokens} == {key["kid"]}
    assert key["retiredAt"] is None
    assert [status(anybody, token) for token in tokens] == [200] * 8


def test_after_a_rotation_new_tokens_have_the_new_key_and_old_ones_stay_valid(
    anybody: httpx.Client, service: Service, database_url: str
) -> None:
    org = service.new_org()
    client = new_client(service, org)
    old = generate(anybody, client)
    before, after = rotate(service, org)
    assert before["kid"] == parts(old)[0]["kid"]
    assert before["retiredAt"] is not None
    assert after["retiredAt"] is None
    new = generate(anybody, client)
    assert parts(new)[0]["kid"] == after["kid"]
    assert (status(anybody, old), status(anybody, new)) == (200, 200)
    assert keys(service, org) == [before, after]
    with psycopg.connect(database_url, autocommit=True) as connection:
        kept = connection.execute(
            "SELECT kid FROM signing_keys WHERE org_id = %s AND private_key_encrypted IS NOT NULL",
            (org.id,),
        ).fetchall()
        assert kept == [(after["kid"],)]
        # An hour and a minute later the longest token that it can have signed has expired.
        connection.execute(
            "UPDATE signing_keys SET retired_at = now() - interval '61 minutes' WHERE kid = %s",
            (before["kid"],),
        )
    assert keys(service, org) == [after]
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while status(anybody, old) == 200:
        assert datetime.now(UTC) < deadline
    assert status(anybody, new) == 200
    rotate(service, org)
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT kid FROM signing_keys WHERE org_id = %s", (org.id,))
        assert (before["kid"],) not in left.fetchall()


def test_a_rotation_may_end_the_keys_before_it_at_once(
    anybody: httpx.Client, service: Service
) -> None:
    org = service.new_org()
    client = new_client(service, org)
    old = generate(anybody, client)
    assert status(anybody, old) == 200
    (after,) = rotate(service, org, endOthers=True)
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while status(anybody, old) == 200:
        assert datetime.now(UTC) < deadline
    assert parts(generate(anybody, client))[0]["kid"] == after["kid"]


def test_another_process_signs_and_verifies_with_a_new_key_at_once(
    anybody: httpx.Client, service: Service, service_settings: Settings
) -> None:
    org = service.new_org()
    client = new_client(service, org)
    old = generate(anybody, client)
    with Service(service_settings) as other:
        elsewhere = other.connect()
        assert status(elsewhere, old) == 200
        assert parts(generate(elsewhere, client))[0]["kid"] == parts(old)[0]["kid"]
        _, after = rotate(service, org)
        new = generate(anybody, client)
        assert status(elsewhere, new) == 200
        assert parts(generate(elsewhere, client))[0]["kid"] == after["kid"]


def test_a_bad_rotation_is_300004(service: Service, shop: Org) -> None:
    for org_id, body in (
        ("999999999", b""),
        ("abc", b""),
        (str(shop.id), b"[]"),
        (str(shop.id), b"{"),
        (str(shop.id), b'{"endOthers": 1}'),
    ):
        path = f"/milepost/v1/orgs/{org_id}/signing-keys"
        refused = service.operator.post(path, content=body)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 300004)
    refused = service.operator.get("/milepost/v1/orgs/999999999/signing-keys")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 300004)


def test_private_keys_are_kept_encrypted(
    anybody: httpx.Client, client: tuple[str, str], database_url: str
) -> None:
    generate(anybody, client)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT private_key_encrypted FROM signing_keys").fetchall()
    for (sealed,) in rows:
        if sealed is not None:
            assert "PRIVATE KEY" not in sealed
            assert sealed.count(".") == 4


def test_with_the_secret_key_put_behind_a_new_one_the_signing_key_stays(
    anybody: httpx.Client, service: Service, service_settings: Settings, database_url: str
) -> None:
    org = service.new_org()
    client = new_client(service, org)
    token = generate(anybody, client)
    fresh = "another secret key, which is new since 1"
    with Service(replace(service_settings, secret_key=f"{fresh}, {SECRET_KEY}")) as both:
        elsewhere = both.connect()
        assert status(elsewhere, token) == 200
        assert parts(generate(elsewhere, client))[0]["kid"] == parts(token)[0]["kid"]
    # Without the old one the key cannot be read: another one is made, and tokens in use stay valid.
    with Service(replace(service_settings, secret_key=fresh)) as only:
        elsewhere = only.connect()
        new = generate(elsewhere, client)
        assert parts(new)[0]["kid"] != parts(token)[0]["kid"]
        assert (status(elsewhere, token), status(elsewhere, new)) == (200, 200)
    assert [key["retiredAt"] is None for key in keys(service, org)] == [False, True]


def test_no_token_secret_or_key_is_ever_logged(
    anybody: httpx.Client, service: Service, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    org = service.new_org()
    key, secret = new_client(service, org)
    token = generate(anybody, (key, secret))
    assert status(anybody, token) == 200
    assert status(anybody, token[:-4]) == 401
    anybody.post(
        "/oauth/token", data={"grant_type": "x", "client_id": key, "client_secret": secret}
    )
    rotate(service, org)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE signing_keys SET private_key_encrypted = 'x.x.x' WHERE org_id = %s", (org.id,)
        )
    anew = generate(anybody, (key, secret))
    anybody.post("/oauth/revoke", data={"token": anew}, auth=(key, secret))
    assert status(anybody, anew) == 401
    logged = ""
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while logged.count("/milepost/v1/clock") < 3:  # a line follows its answer
        logged += capfd.readouterr().err
        assert datetime.now(UTC) < deadline
    assert "signing_key_unreadable" in logged
    for hidden in (secret, token, token[-20:], anew, anew[-20:], SECRET_KEY, "PRIVATE"):
        assert hidden not in logged
