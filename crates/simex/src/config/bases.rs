//! What is listed by default: coins with their names, a price to start from, and Binance's grids.

/// A coin.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    /// Its code at both venues.
    pub code: &'static str,
    /// Name in Korean, as Upbit lists it.
    pub korean: &'static str,
    /// Name in English.
    pub english: &'static str,
    /// Price at the start, in USDT.
    pub usdt: f64,
    /// Tick of its USDT market at Binance.
    pub tick: &'static str,
    /// Lot of its USDT market at Binance.
    pub lot: &'static str,
}

const fn base(
    code: &'static str,
    korean: &'static str,
    english: &'static str,
    usdt: f64,
    tick: &'static str,
    lot: &'static str,
) -> Base {
    Base {
        code,
        korean,
        english,
        usdt,
        tick,
        lot,
    }
}

/// The coins; prices are of the right size, not of a day.
#[rustfmt::skip]
pub const BASES: [Base; 48] = [
    base("BTC", "비트코인", "Bitcoin", 100_000.0, "0.01", "0.00001"),
    base("ETH", "이더리움", "Ethereum", 3_500.0, "0.01", "0.0001"),
    base("XRP", "엑스알피(리플)", "XRP", 2.2, "0.0001", "0.1"),
    base("SOL", "솔라나", "Solana", 160.0, "0.01", "0.001"),
    base("DOGE", "도지코인", "Dogecoin", 0.17, "0.00001", "1"),
    base("ADA", "에이다", "Cardano", 0.62, "0.0001", "0.1"),
    base("TRX", "트론", "TRON", 0.28, "0.0001", "0.1"),
    base("LINK", "체인링크", "Chainlink", 15.0, "0.01", "0.01"),
    base("AVAX", "아발란체", "Avalanche", 19.0, "0.01", "0.01"),
    base("XLM", "스텔라루멘", "Stellar", 0.29, "0.0001", "1"),
    base("SUI", "수이", "Sui", 2.1, "0.0001", "0.1"),
    base("BCH", "비트코인캐시", "Bitcoin Cash", 510.0, "0.1", "0.001"),
    base("HBAR", "헤데라", "Hedera", 0.18, "0.00001", "1"),
    base("SHIB", "시바이누", "Shiba Inu", 0.0000098, "0.00000001", "1"),
    base("DOT", "폴카닷", "Polkadot", 2.9, "0.001", "0.01"),
    base("PEPE", "페페", "PEPE", 0.0000064, "0.00000001", "1"),
    base("AAVE", "에이브", "Aave", 210.0, "0.01", "0.001"),
    base("NEAR", "니어프로토콜", "NEAR Protocol", 2.5, "0.001", "0.1"),
    base("APT", "앱토스", "Aptos", 3.1, "0.001", "0.01"),
    base("ETC", "이더리움클래식", "Ethereum Classic", 15.0, "0.01", "0.01"),
    base("ONDO", "온도파이낸스", "Ondo Finance", 0.62, "0.0001", "0.1"),
    base("POL", "폴리곤에코시스템토큰", "POL", 0.16, "0.0001", "0.1"),
    base("ARB", "아비트럼", "Arbitrum", 0.25, "0.0001", "0.1"),
    base("ATOM", "코스모스", "Cosmos", 2.8, "0.001", "0.01"),
    base("ALGO", "알고랜드", "Algorand", 0.16, "0.0001", "1"),
    base("VET", "비체인", "VeChain", 0.017, "0.00001", "0.1"),
    base("SEI", "세이", "Sei", 0.16, "0.0001", "0.1"),
    base("BONK", "봉크", "Bonk", 0.000012, "0.00000001", "1"),
    base("IMX", "이뮤터블엑스", "Immutable", 0.36, "0.0001", "0.1"),
    base("STX", "스택스", "Stacks", 0.38, "0.0001", "0.1"),
    base("GRT", "더그래프", "The Graph", 0.059, "0.0001", "1"),
    base("SAND", "샌드박스", "The Sandbox", 0.19, "0.0001", "1"),
    base("MANA", "디센트럴랜드", "Decentraland", 0.21, "0.0001", "1"),
    base("THETA", "쎄타토큰", "Theta Network", 0.46, "0.001", "0.1"),
    base("AXS", "엑시인피니티", "Axie Infinity", 1.2, "0.001", "0.01"),
    base("FLOW", "플로우", "Flow", 0.23, "0.001", "0.01"),
    base("XTZ", "테조스", "Tezos", 0.56, "0.001", "0.1"),
    base("NEO", "네오", "NEO", 4.5, "0.01", "0.01"),
    base("CHZ", "칠리즈", "Chiliz", 0.031, "0.00001", "1"),
    base("ENS", "이더리움네임서비스", "Ethereum Name Service", 12.0, "0.01", "0.01"),
    base("JUP", "주피터", "Jupiter", 0.28, "0.0001", "0.1"),
    base("TIA", "셀레스티아", "Celestia", 0.72, "0.0001", "0.01"),
    base("BLUR", "블러", "Blur", 0.042, "0.0001", "0.1"),
    base("ZRO", "레이어제로", "LayerZero", 1.5, "0.001", "0.01"),
    base("IOTA", "아이오타", "IOTA", 0.12, "0.0001", "1"),
    base("QTUM", "퀀텀", "Qtum", 1.7, "0.001", "0.1"),
    base("INJ", "인젝티브", "Injective", 6.4, "0.001", "0.01"),
    base("BNB", "비앤비", "BNB", 900.0, "0.01", "0.001"),
];

/// Korean won for one dollar at the start.
pub const KRW_PER_USD: f64 = 1_450.0;

/// Upbit's ticks in KRW markets: `(price from, tick)`, highest first, since 2025-07-31.
/// Source: Upbit developer docs v1.6.4, KRW market info (page of 2026-05-04, read 2026-11-21).
#[rustfmt::skip]
pub const UPBIT_KRW_TICKS: [(&str, &str); 15] = [
    ("1000000", "1000"), ("500000", "500"), ("100000", "100"), ("50000", "50"), ("10000", "10"), ("5000", "5"),
    ("100", "1"), ("10", "0.1"), ("1", "0.01"), ("0.1", "0.001"), ("0.01", "0.0001"), ("0.001", "0.00001"),
    ("0.0001", "0.000001"), ("0.00001", "0.0000001"), ("0.00000001", "0.00000001"),
];

/// Upbit's ticks in USDT markets, in the same form and from the same source.
#[rustfmt::skip]
pub const UPBIT_USDT_TICKS: [(&str, &str); 8] = [
    ("10", "0.01"), ("1", "0.001"), ("0.1", "0.0001"), ("0.01", "0.00001"), ("0.001", "0.000001"),
    ("0.0001", "0.0000001"), ("0.00001", "0.00000001"), ("0.00000001", "0.00000001"),
];
