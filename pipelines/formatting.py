"""Names and numbers as a reader sees them."""


def words(name: str) -> str:
    return name.replace("_", " ")


def number(value: float) -> str:
    """Four decimals; four significant places of a value far from 1."""
    if value and not 1e-3 <= abs(value) < 10:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.4f}"


def brief(value: float) -> str:
    """Three significant places and k, M, G, T, P or E; a whole number below 10,000 in full."""
    if isinstance(value, int) and value < 10_000:
        return f"{value:,}"
    units = iter(("", " k", " M", " G", " T", " P", " E"))
    unit = next(units)
    while value >= 999.5:
        value, unit = value / 1000, next(units)
    return f"{value:#.3g}".rstrip(".") + unit
