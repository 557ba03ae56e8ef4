"""Bills of each kind of price, computed by hand."""

import pytest

from pilotlight.cost import tariffs
from pilotlight.cost.book import ActiveCpu, Dedicated, Function, Managed, Provisioned, ServerlessGpu, Tokens

LAMBDA = Function(million_requests_usd=0.20, gb_second_usd=0.0000166667)
KEPT = Provisioned(
    million_requests_usd=0.20, gb_second_provisioned_usd=0.0000041667, gb_second_usd=0.0000097222
)
MONTH = 730 * 3600.0


def test_two_seconds_of_initialisation_at_512_mb_add_16_67_for_a_million_cold_starts():
    def million(billed: bool) -> float:
        price = Function(million_requests_usd=0.20, gb_second_usd=0.0000166667, init_billed=billed)
        return tariffs.function(
            price, memory_gb=0.5, requests=1e6, seconds=0.072, cold_starts=1e6, init_seconds=2.0
        )

    assert million(False) == pytest.approx(0.80, abs=0.001)
    # Published as $17.80; 2 s x 0.5 GB x a million at the list price are $16.67 more, not $17.00.
    assert million(True) == pytest.approx(17.47, abs=0.01)


def test_a_function_that_is_not_asked_costs_nothing():
    assert tariffs.function(LAMBDA, memory_gb=0.5, requests=0, seconds=1) == 0.0


def test_ten_times_512_mb_kept_for_a_month_cost_55_dollars_idle():
    # 10 x 0.5 GB x 2,628,000 s x 0.0000041667
    found = tariffs.provisioned(KEPT, memory_gb=0.5, instances=10, kept_seconds=MONTH)
    assert found == pytest.approx(54.75, abs=0.01)


def test_what_runs_on_kept_instances_is_billed_beside_them():
    idle = tariffs.provisioned(KEPT, memory_gb=1, instances=1, kept_seconds=100)
    found = tariffs.provisioned(KEPT, memory_gb=1, instances=1, kept_seconds=100, requests=10, seconds=2)
    assert found - idle == pytest.approx(10 * 2 * 0.0000097222 + 10 * 0.2e-6)


def test_a_managed_instance_costs_its_machine_and_15_percent():
    found = tariffs.managed(Managed(hour_usd=1.0, surcharge=0.15), instances=2, seconds=7200)
    assert found == pytest.approx(4.6)


def test_a_second_and_a_half_of_nine_and_a_half_is_84_percent_less_cpu():
    price = ActiveCpu(vcpu_hour_usd=0.128, gb_hour_usd=0.0106)
    blocked, all_of_it = (
        tariffs.active_cpu(price, active_seconds=s, present_seconds=9.5, memory_gb=0.0) for s in (1.5, 9.5)
    )
    assert 1 - blocked / all_of_it == pytest.approx(0.842, abs=0.001)
    assert blocked == pytest.approx(1.5 / 3600 * 0.128)


def test_memory_is_paid_while_a_call_is_blocked():
    price = ActiveCpu(vcpu_hour_usd=0.128, gb_hour_usd=0.0106)
    found = tariffs.active_cpu(price, active_seconds=1.5, present_seconds=9.5, memory_gb=2.0)
    assert found == pytest.approx(1.5 / 3600 * 0.128 + 2 * 9.5 / 3600 * 0.0106)


def test_gpus_by_the_month_the_hour_and_the_second():
    assert tariffs.dedicated(Dedicated(month_usd=2500), 2, MONTH) == pytest.approx(5000)
    assert tariffs.dedicated(Dedicated(hour_usd=3.0), 1, 1800) == pytest.approx(1.5)
    assert tariffs.serverless_gpu(ServerlessGpu(second_usd=0.001), 90) == pytest.approx(0.09)


def test_tokens_in_and_out_have_their_own_price():
    price = Tokens(million_input_usd=0.15, million_output_usd=0.60)
    assert tariffs.tokens(price, 2e6, 1e6) == pytest.approx(0.9)
