"""Signing in by a provider of OpenID Connect: the authorization code flow, by Authlib.

With PKCE, state and nonce, which the browser keeps in a signed cookie while its reader is at the
provider; the identity that comes back is checked against the provider's keys. Authlib is loaded
where LETHE_OIDC_ISSUER is set, and nowhere else.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.access.guard import cookie_name, cookie_path, is_secure
from app.access.session import Sessions
from worker.contract.errors import Forbidden, Unavailable
from worker.contract.settings import Settings

LASTS = 600
"""Seconds that a reader has at the provider."""
PATIENCE = 10.0
"""Seconds after which a provider that does not answer is said to be down."""
BACK = "/login/provider/back"


@dataclass(frozen=True)
class Arrived:
    """Who came back from the provider, and what was to be done then."""

    issuer: str
    subject: str
    wish: str
    """The name that the provider knows them by."""
    domain: str
    """Of their e-mail address, with an @ before it, where the provider says that it is verified."""
    aim: dict[str, str]


def of(settings: Settings) -> "Provider | None":
    """The provider that the settings name for a shared server."""
    return Provider(settings) if settings.shared and settings.oidc_issuer else None


class Provider:
    """One provider, whose description is asked for when somebody first signs in."""

    def __init__(self, settings: Settings) -> None:
        import httpx2
        from authlib.common.errors import AuthlibBaseError
        from authlib.integrations.starlette_client import OAuth
        from joserfc.errors import JoseError

        self.title = urlsplit(settings.oidc_issuer).hostname or settings.oidc_issuer
        self._settings, self._refusals = settings, (AuthlibBaseError, JoseError)
        self._troubles = (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, RuntimeError)
        """What is raised where a provider is away or answers with something else."""
        self._client: Any = OAuth().register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=settings.provider_secret or None,
            server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": PATIENCE,
                "token_endpoint_auth_method": (
                    "client_secret_basic" if settings.provider_secret else "none"
                ),
            },
        )

    def admits(self, arrived: Arrived) -> bool:
        """Whether somebody without account and invitation may come in, as a viewer."""
        admitted = self._settings.oidc_admits
        domains = [one.strip() for one in admitted.split(",")]
        return admitted == "anyone" or bool(arrived.domain and arrived.domain in domains)

    async def begin(self, request: Request, aim: dict[str, str]) -> Response:
        """Send a reader to the provider; raises Unavailable when it does not answer."""
        request.scope["session"] = {}
        try:
            await self._known()
            answer: Response = await self._client.authorize_redirect(request, self._back(request))
        except self._troubles as error:
            raise self._down(error) from None
        sessions: Sessions = request.app.state.sessions
        answer.set_cookie(
            _kept(request),
            sessions.seal([request.scope.pop("session"), aim]),
            max_age=LASTS,
            httponly=True,
            samesite="lax",
            secure=is_secure(request),
            path=cookie_path(request),
        )
        return answer

    async def finish(self, request: Request) -> Arrived:
        """Who comes back; raises Forbidden for one whom the provider or the check refuses."""
        sessions: Sessions = request.app.state.sessions
        begun = sessions.unseal(request.cookies.get(_kept(request), ""), LASTS)
        if begun is None:
            raise Forbidden(
                f"This did not begin here, or more than {LASTS // 60} minutes ago; sign in again."
            )
        request.scope["session"], aim = begun
        try:
            metadata = await self._known()
            token = await self._client.authorize_access_token(request)
            claims = token.get("userinfo")
            if not claims or not claims.get("sub"):
                raise Forbidden(f"{self.title} did not say who you are; sign in again.")
            claims = await self._completed(dict(claims), token, metadata)
        except self._refusals as error:
            words = str(getattr(error, "description", "") or getattr(error, "error", ""))[:200]
            raise Forbidden(
                f"{self.title} did not let you in, or its answer is not to be trusted"
                f"{f' ({words})' if words else ''}; sign in again."
            ) from None
        except self._troubles as error:
            raise self._down(error) from None
        finally:
            request.scope.pop("session", None)
        email = str(claims.get("email", "")).lower() if claims.get("email_verified") is True else ""
        wish = claims.get("preferred_username") or claims.get("email") or claims.get("name") or ""
        return Arrived(
            issuer=self._settings.oidc_issuer,
            subject=str(claims["sub"]),
            wish=str(wish).partition("@")[0],
            domain=f"@{email.rpartition('@')[2]}" if "@" in email else "",
            aim=aim,
        )

    def forget(self, request: Request, response: Response) -> None:
        """Take the cookie of the way to the provider away."""
        response.delete_cookie(_kept(request), path=cookie_path(request))

    async def way_out(self, request: Request) -> str | None:
        """Where a reader signs out of the provider too; None where it has no such place."""
        try:
            if not (await self._known()).get("end_session_endpoint"):
                return None
            found = await self._client.create_logout_url(client_id=self._settings.oidc_client_id)
        except self._troubles as error:
            raise self._down(error) from None
        return str(found["url"])

    async def _completed(self, claims: dict[str, Any], token: Any, metadata: Any) -> dict[str, Any]:
        """What the identity says, and what the provider says beside it of the same subject."""
        if "email" in claims or not metadata.get("userinfo_endpoint"):
            return claims
        more = dict(await self._client.userinfo(token=token))
        return more | claims if more.get("sub") == claims["sub"] else claims

    async def _known(self) -> Any:
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self._settings.oidc_issuer.rstrip("/"):
            raise Unavailable(
                f"The provider at {self._settings.oidc_issuer} calls itself "
                f"{str(metadata.get('issuer'))[:200]!r}; an admin sets LETHE_OIDC_ISSUER to that."
            )
        return metadata

    def _back(self, request: Request) -> str:
        asked = self._settings.public_url or str(request.base_url).rstrip("/")
        return f"{asked}{self._settings.root_path}{BACK}"

    def _down(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"{self.title}, by which people sign in here, does not answer as it should "
            f"({type(error).__name__}). Try again in a moment, or sign in with a password."
        )


def _kept(request: Request) -> str:
    return f"{cookie_name(request)}-provider"
