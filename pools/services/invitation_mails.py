"""An invitation's link by e-mail, where the installation can send any."""

from threading import Thread

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils.translation import gettext as _

from pools.models import Invitation

log = structlog.get_logger(__name__)
THREAD = "invitation-mail"


def send(invitation: Invitation, link: str) -> bool:
    """Send the link once the transaction has committed, if it does; return False where no e-mail is set up.

    It goes from here and not through the queue, which no secret may be in. Whoever invited has the link as well.
    """
    if not settings.HAS_EMAIL:
        return False
    where = invitation.project.path if invitation.project else "ocenter"
    text = _("%(who)s invites you to %(where)s. Until %(until)s this link takes you in, once:\n\n%(link)s\n") % {
        "who": invitation.invited_by,
        "where": where,
        "until": f"{invitation.expires_at:%Y-%m-%d %H:%M} UTC",
        "link": link,
    }
    message = EmailMessage(_("Invitation to %(where)s") % {"where": where}, text, to=[invitation.email])
    transaction.on_commit(lambda: Thread(target=_send, args=(message,), name=THREAD, daemon=True).start())
    return True


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except OSError as error:  # smtplib's are too
        log.warning("mail_not_sent", error=type(error).__name__)
