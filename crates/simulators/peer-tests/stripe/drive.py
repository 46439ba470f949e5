"""Drives the Stripe simulator given as the first argument with the provider's own Python client, as a merchant's code would."""

import sys

import stripe

base = sys.argv[1]
client = stripe.StripeClient("sk_test_crossdock", base_addresses={"api": base}, max_network_retries=0)


def refused(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.code == code, (error.code, code)
        return
    raise AssertionError(f"expected {kind.__name__} {code}")


def main():
    intents, refunds = client.v1.payment_intents, client.v1.refunds
    params = {
        "amount": 5000, "currency": "eur", "capture_method": "manual", "confirm": True,
        "payment_method": "pm_card_visa", "metadata": {"order": "PEER-1", "site": "RefArch-DE", "channel": "sfcc"},
    }
    first = intents.create(params, {"idempotency_key": "peer-create"})
    again = intents.create(params, {"idempotency_key": "peer-create"})
    assert first.id == again.id and first.status == "requires_capture" and first.amount_capturable == 5000
    refused(stripe.IdempotencyError, None, lambda: intents.create({**params, "amount": 1}, {"idempotency_key": "peer-create"}))
    refused(stripe.CardError, "card_declined", lambda: intents.create({**params, "payment_method": "pm_card_chargeDeclined"}))
    refused(stripe.InvalidRequestError, "amount_too_large", lambda: intents.capture(first.id, {"amount_to_capture": 5001}))
    taken = intents.capture(first.id, {"amount_to_capture": 3000}, {"idempotency_key": "peer-capture"})
    assert taken.status == "succeeded" and taken.amount_received == 3000
    assert client.v1.charges.retrieve(taken.latest_charge).amount_captured == 3000
    refund = refunds.create({"payment_intent": first.id, "amount": 1000, "metadata": {"ref": "R1"}}, {"idempotency_key": "peer-refund"})
    assert refund.status == "succeeded"
    refused(stripe.InvalidRequestError, "amount_too_large", lambda: refunds.create({"payment_intent": first.id, "amount": 2001}))
    assert [r.metadata["ref"] for r in refunds.list({"payment_intent": first.id}).data] == ["R1"]
    other = intents.create({**params, "metadata": {"order": "PEER-2"}})
    assert intents.cancel(other.id).status == "canceled"
    refused(stripe.InvalidRequestError, "payment_intent_unexpected_state", lambda: intents.capture(other.id))
    found = []
    while not found:  # A search shows a write only after its lag.
        found = intents.search({"query": "metadata['order']:'PEER-1'"}).data
    assert [i.id for i in found] == [first.id]
    kinds = {e.type for e in client.v1.events.list({"limit": 100}).data}
    assert {"payment_intent.succeeded", "charge.captured", "charge.refunded", "payment_intent.canceled"} <= kinds, kinds
    print("ok")


main()
