"""Every SQL statement of the gallery."""

from services.gallery.store.doomed import (
    DOOMED_CHANNEL,
    doom,
    is_untold,
    list_doomed,
    remove_doomed,
)
from services.gallery.store.facts import (
    find_by_key,
    find_standing,
    follow,
    remove_accounts,
    settle,
)
from services.gallery.store.items import add_assets, add_items, confirm_jobs, find_shown_asset
from services.gallery.store.listing import (
    count_public,
    find_item,
    list_items,
    list_public,
    top_creators,
)
from services.gallery.store.thumbnails import (
    THUMBNAILS_CHANNEL,
    Claim,
    Shower,
    claim_thumbnail,
    find_shower,
    finish_thumbnail,
    forget_thumbnail_work,
    give_up_thumbnail,
    lock_asset,
    postpone_thumbnail,
    want_lacking_thumbnails,
    want_thumbnails,
)
from services.gallery.store.uploads import (
    claim_upload,
    forget_claims,
    known_keys,
    list_checksums,
)

__all__ = [
    "DOOMED_CHANNEL",
    "THUMBNAILS_CHANNEL",
    "Claim",
    "Shower",
    "add_assets",
    "add_items",
    "claim_thumbnail",
    "claim_upload",
    "confirm_jobs",
    "count_public",
    "doom",
    "find_by_key",
    "find_item",
    "find_shower",
    "find_shown_asset",
    "find_standing",
    "finish_thumbnail",
    "follow",
    "forget_claims",
    "forget_thumbnail_work",
    "give_up_thumbnail",
    "is_untold",
    "known_keys",
    "list_checksums",
    "list_doomed",
    "list_items",
    "list_public",
    "lock_asset",
    "postpone_thumbnail",
    "remove_accounts",
    "remove_doomed",
    "settle",
    "top_creators",
    "want_lacking_thumbnails",
    "want_thumbnails",
]
