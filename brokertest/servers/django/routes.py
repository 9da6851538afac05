"""The toolkit's routes below /o/, and ours."""

from datetime import timedelta

from django.contrib.auth import get_user_model, login
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import include, path
from django.utils import timezone
from oauth2_provider.models import AccessToken, RefreshToken
from oauth2_provider.views.generic import ProtectedResourceView

from people import about


def sign_in(request):
    """Any name is an account: what is tested is what happens after the consent."""
    name = request.COOKIES["person"]
    user, _ = get_user_model().objects.get_or_create(username=name, defaults={"email": f"{name}@example.test"})
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect(request.GET["next"])


class Me(ProtectedResourceView):
    """An API that wants a token, and tells whose it is in a form of its own."""

    def get(self, request):
        return JsonResponse({"data": {"id": request.resource_owner.pk, **about(request.resource_owner)}})


def living(request):
    """What a client could still use."""
    return JsonResponse({
        "refresh": RefreshToken.objects.filter(revoked__isnull=True).count(),
        "access": AccessToken.objects.filter(expires__gt=timezone.now()).count(),
    })


def expire(request):
    """The access tokens of a person have lived long enough."""
    tokens = AccessToken.objects.filter(user__username=request.GET["person"])
    tokens.update(expires=timezone.now() - timedelta(seconds=1))
    return HttpResponse()


urlpatterns = [
    path("o/", include("oauth2_provider.urls")),
    path("sign-in", sign_in),
    path("me", Me.as_view()),
    path("test/living", living),
    path("test/expire", expire),
]
