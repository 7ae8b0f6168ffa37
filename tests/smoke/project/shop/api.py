"""The shop's API."""

from __future__ import annotations

from rest_framework import permissions, routers, serializers, viewsets
from rest_framework.authentication import TokenAuthentication
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.smoke.project.shop.models import Article, Coupon, Purchase


class ArticleSerializer(serializers.ModelSerializer):
    """An article as JSON."""

    class Meta:
        model = Article
        fields = ("id", "title", "slug")


class ArticleViewSet(viewsets.ModelViewSet):
    """Articles, for everybody."""

    queryset = Article.objects.order_by("pk")
    serializer_class = ArticleSerializer
    permission_classes = (permissions.AllowAny,)

    @action(detail=True)
    def price(self, request, pk=None, **kwargs):
        """The price of one."""
        return Response({"price": self.get_object().pk})

    @action(detail=True, methods=["post"])
    def buy(self, request, pk=None, **kwargs):
        """Buy one."""
        return Response({})


class PurchaseSerializer(serializers.ModelSerializer):
    """A purchase as JSON."""

    class Meta:
        model = Purchase
        fields = ("code",)


class PurchaseViewSet(viewsets.ReadOnlyModelViewSet):
    """One's own purchases."""

    serializer_class = PurchaseSerializer
    permission_classes = (permissions.IsAuthenticated,)
    lookup_field = "code"

    def get_queryset(self):
        """Only those of who asks."""
        return Purchase.objects.filter(owner=self.request.user).order_by("pk")


class CouponViewSet(viewsets.ReadOnlyModelViewSet):
    """An empty table, for staff."""

    class CouponSerializer(serializers.ModelSerializer):
        """A coupon as JSON."""

        class Meta:
            model = Coupon
            fields = ("code",)

    queryset = Coupon.objects.order_by("pk")
    serializer_class = CouponSerializer
    permission_classes = (permissions.IsAdminUser,)


class TokenView(APIView):
    """A view that no session can enter."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (permissions.IsAuthenticated,)

    def get(self, request):
        """Say hello."""
        return Response({"hello": str(request.user)})


router = routers.DefaultRouter()
router.register("articles", ArticleViewSet)
router.register("purchases", PurchaseViewSet, basename="purchase")
router.register("coupons", CouponViewSet)
