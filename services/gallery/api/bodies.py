"""Bodies that cross the HTTP edge: snake case here, camel case on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit
from uuid import UUID

from pydantic import Field

from libs.events.generation import Operation
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.http.bodies import Body, Text
from services.gallery.domain.facts import MODEL_CHARACTERS_MAX, TITLE_CHARACTERS_MAX, Changes
from services.gallery.domain.listing import Creator, ListedItem, aspect_ratio

URL_CHARACTERS_MAX: Final = 4_096
# What the web client calls an operation; whatever is not there is an edit of something.
_JOB_TYPES: Final[Mapping[str, str]] = {
    Operation.IMAGE: "IMAGE_GENERATION",
    Operation.VIDEO: "VIDEO_GENERATION",
    Operation.UPSCALE: "IMAGE_RESIZE",
}
_OTHER_JOB_TYPE: Final = "IMAGE_EDIT"


class R2File(Body):
    """A picture in the gallery; the web client gave it its name."""

    id: UUID
    job_id: UUID | None
    job_type: str
    file_name: str
    file_url: str
    file_size: int
    mime_type: str
    width: int
    height: int
    aspect_ratio: str
    thumbnail_url: str | None
    blur_hash: str | None
    title: str
    prompt: str
    model: str
    is_public: bool
    is_liked: bool
    like_count: int
    created_at: datetime
    updated_at: datetime


class R2Files(Body):
    items: list[R2File]
    next_cursor: str | None


class Owner(Body):
    """Whose picture it is. The gallery knows no names: clients show what they show without one."""

    username: str | None = None
    auth_user_id: UUID
    profile_image: str | None = None
    country: str | None = None


class PublicFile(Body):
    """A picture that everybody may see."""

    id: UUID
    file_url: str
    prompt: str
    title: str
    model: str
    aspect_ratio: str
    mime_type: str
    width: int
    height: int
    thumbnail_url: str | None
    blur_hash: str | None
    created_at: datetime
    like_count: int
    is_liked: bool
    owner: Owner


class PublicFiles(Body):
    items: list[PublicFile]
    next_cursor: str | None
    total_count: int


class CreatorBody(Body):
    user_id: UUID
    username: str | None = None
    profile_image: str | None = None
    country: str | None = None
    total_likes: int
    image_count: int
    best_image: str


class Creators(Body):
    creators: list[CreatorBody]


class FileChanges(Body):
    """What to change; what is left out stays as it is."""

    is_public: bool | None = None
    is_liked: bool | None = None
    title: Annotated[Text | None, Field(max_length=TITLE_CHARACTERS_MAX)] = None
    model: Annotated[Text | None, Field(min_length=1, max_length=MODEL_CHARACTERS_MAX)] = None

    def changes(self) -> Changes:
        return Changes(is_public=self.is_public, title=self.title, model=self.model)


class FileByUrl(Body):
    file_url: Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]


class FileChangesByUrl(FileChanges, FileByUrl):
    """The same, of the picture behind an address."""


class LikeBody(Body):
    like_count: int
    is_liked: bool


class Deleted(Body):
    success: bool = True


class Addresses:
    """Where clients find assets: at the gateway, or at a CDN before it."""

    def __init__(self, public_base_url: str, asset_base_url: str, signer: AssetSigner) -> None:
        self._signer = signer
        own = f"{public_base_url.rstrip('/')}/assets"
        self._base = (asset_base_url or own).rstrip("/")
        self._bases = tuple(dict.fromkeys((f"{self._base}/", f"{own}/", "/assets/")))

    def of(self, key: str, *, is_public: bool) -> str:
        """The address of an object: signed, if not everybody may see it."""
        name = quote(key)
        if is_public:
            return f"{self._base}/{name}"
        _, _, signature = self._signer.signed(key).rpartition("?")
        return f"{self._base}/{name}?{signature}"

    def small(self, item: ListedItem) -> str | None:
        """The address of a picture's thumbnail, once there is one."""
        if item.thumbnail_key is None:
            return None
        return self.of(item.thumbnail_key, is_public=item.is_public)

    def signature(self, url: str) -> tuple[str | None, str | None]:
        """(expiry, signature) in an address that was given out once."""
        found = parse_qs(url.partition("?")[2].partition("#")[0])
        return found.get("expires", [None])[0], found.get("signature", [None])[0]

    def key(self, url: str) -> str:
        """The key in an address that was given out once; empty if it is another's address."""
        try:
            plain = urlsplit(url)._replace(query="", fragment="").geturl()
        except ValueError:  # brackets that are no address
            return ""
        found = (plain.removeprefix(base) for base in self._bases if plain.startswith(base))
        key = unquote(next(found, ""))
        return "" if "\0" in key else key

    def file(self, item: ListedItem) -> R2File:
        return R2File(
            id=item.id,
            job_id=item.job_id,
            job_type=_JOB_TYPES.get(item.operation, _OTHER_JOB_TYPE),
            file_name=item.file_name,
            file_url=self.of(item.asset_key, is_public=item.is_public),
            file_size=item.size_bytes,
            mime_type=item.content_type,
            width=item.width,
            height=item.height,
            aspect_ratio=aspect_ratio(item.width, item.height),
            thumbnail_url=self.small(item),
            blur_hash=item.blur_hash,
            title=item.title,
            prompt=item.prompt,
            model=item.model,
            is_public=item.is_public,
            is_liked=item.is_liked,
            like_count=item.like_count,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )

    def public_file(self, item: ListedItem) -> PublicFile:
        return PublicFile(
            id=item.id,
            file_url=self.of(item.asset_key, is_public=item.is_public),
            prompt=item.prompt,
            title=item.title,
            model=item.model,
            aspect_ratio=aspect_ratio(item.width, item.height),
            mime_type=item.content_type,
            width=item.width,
            height=item.height,
            thumbnail_url=self.small(item),
            blur_hash=item.blur_hash,
            created_at=item.created_at,
            like_count=item.like_count,
            is_liked=item.is_liked,
            owner=Owner(auth_user_id=item.user_id),
        )

    def creator(self, creator: Creator) -> CreatorBody:
        return CreatorBody(
            user_id=creator.user_id,
            total_likes=creator.total_likes,
            image_count=creator.image_count,
            best_image=self.of(creator.best_key, is_public=True),
        )
