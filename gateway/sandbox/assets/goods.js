// What the shop sells, and who comes to it. The pictures are drawn here: the page loads nothing from elsewhere.

const picture = (title, shapes) =>
  `<svg viewBox="0 0 240 180" preserveAspectRatio="xMidYMid slice" role="img" aria-label="${title}">${shapes}</svg>`;

export const PRODUCTS = [
  {
    id: "PHIN-01", sku: "PHIN-01-S", name: "Phin cà phê inox", english: "Steel drip filter",
    price: 185000, original_price: 220000, brand: "Nhà Phin", main_category: "coffee",
    about: "Thép không gỉ, 4 phút một ly. · Stainless steel, four minutes a cup.",
    picture: picture("A coffee drip filter on a glass", `
      <rect width="240" height="180" fill="#e9d9bf"/><circle cx="190" cy="46" r="26" fill="#f5ead6"/>
      <ellipse cx="120" cy="158" rx="86" ry="9" fill="#c9b491"/>
      <path d="M86 96h68l-8 60q-1 4-5 4H99q-4 0-5-4z" fill="#fff" opacity=".65"/>
      <path d="M90 126h60l-4 30q-1 4-5 4H99q-4 0-5-4z" fill="#4b2c1a"/>
      <path d="M92 119h56l-1 9H93z" fill="#f3e6cc"/>
      <rect x="76" y="88" width="88" height="7" rx="3.5" fill="#8f979b"/>
      <path d="M90 46h60l-4 42H94z" fill="#b9c1c5"/><path d="M96 46h12l-3 42h-8z" fill="#dfe5e8"/>
      <rect x="84" y="38" width="72" height="9" rx="4.5" fill="#8f979b"/>
      <circle cx="120" cy="31" r="7" fill="#2f3a3d"/>
      <path d="M120 96v8" stroke="#4b2c1a" stroke-width="3" stroke-linecap="round"/>`),
  },
  {
    id: "CHEN-02", sku: "CHEN-02-X", name: "Chén men ngọc", english: "Celadon cup",
    price: 95000, original_price: 95000, brand: "Gốm Bát Tràng", main_category: "ceramics",
    about: "Gốm Bát Tràng, nung ở 1.280 °C. · Bát Tràng ware, fired at 1,280 °C.",
    picture: picture("A celadon cup on a saucer", `
      <rect width="240" height="180" fill="#d5e2d8"/><path d="M0 128h240v52H0z" fill="#c2d3c6"/>
      <ellipse cx="120" cy="148" rx="74" ry="12" fill="#7fa590"/><ellipse cx="120" cy="144" rx="74" ry="12" fill="#9cc0ac"/>
      <path d="M70 66h100q0 74-50 76-50-2-50-76z" fill="#a9cdb9"/>
      <path d="M84 78q2 44 26 58-34-8-34-58z" fill="#cfe6d8"/>
      <ellipse cx="120" cy="66" rx="50" ry="11" fill="#86ac97"/><ellipse cx="120" cy="68" rx="43" ry="7.5" fill="#b98a46"/>
      <path d="M132 92q14 8 10 26m-10-20q8 6 7 16" stroke="#5d8a74" stroke-width="2.5" fill="none" stroke-linecap="round"/>
      <path d="M108 46q-8-10 0-18t0-18M130 46q-8-10 0-18t0-18" stroke="#fff" stroke-width="3" fill="none" opacity=".8" stroke-linecap="round"/>`),
  },
  {
    id: "TRA-03", sku: "TRA-03-100", name: "Trà sen Tây Hồ", english: "Lotus tea, 100 g",
    price: 320000, original_price: 360000, brand: "Sen Hồ Tây", main_category: "tea",
    about: "Ướp bảy lần với gạo sen. · Scented seven times with lotus anthers.",
    picture: picture("A lotus flower over a tin of tea", `
      <rect width="240" height="180" fill="#f3dfe0"/><circle cx="54" cy="46" r="30" fill="#fbeeee"/>
      <ellipse cx="120" cy="160" rx="80" ry="8" fill="#d9bcbf"/>
      <rect x="82" y="92" width="76" height="66" rx="6" fill="#315a4b"/><rect x="78" y="84" width="84" height="14" rx="5" fill="#264a3d"/>
      <rect x="94" y="112" width="52" height="30" rx="3" fill="#f4ead2"/><path d="M102 122h36m-30 9h24" stroke="#315a4b" stroke-width="3" stroke-linecap="round"/>
      <g fill="#e58aa0"><path d="M120 84q-52-8-52-38 34 2 52 38z"/><path d="M120 84q52-8 52-38-34 2-52 38z"/></g>
      <g fill="#f2b1bf"><path d="M120 84q-36-22-26-56 26 16 26 56z"/><path d="M120 84q36-22 26-56-26 16-26 56z"/></g>
      <path d="M120 84q-20-34 0-68 20 34 0 68z" fill="#fbd3da"/>`),
  },
  {
    id: "NON-04", sku: "NON-04-H", name: "Nón lá Huế", english: "Huế palm-leaf hat",
    price: 145000, original_price: 145000, brand: "Làng Tây Hồ", main_category: "craft",
    about: "Mười sáu vành tre, chằm tay. · Sixteen bamboo rings, sewn by hand.",
    picture: picture("A palm-leaf hat", `
      <rect width="240" height="180" fill="#cfdfe8"/><circle cx="192" cy="42" r="20" fill="#f8e9b8"/>
      <path d="M0 138q60-26 120-6t120-10v58H0z" fill="#9dbf9a"/><path d="M0 156q70-18 130-4t110-6v34H0z" fill="#7fa97d"/>
      <path d="M120 40 206 128q-86 26-172 0z" fill="#ecd9a8"/><path d="M120 40 34 128q34 11 70 13z" fill="#f7ebc8"/>
      <path d="M98 63q22 6 44 0M80 82q40 11 80 0M61 101q59 16 118 0M44 118q76 21 152 0" stroke="#c6a968" stroke-width="2" fill="none"/>
      <path d="M86 138q34 40 68 0" stroke="#c24d5c" stroke-width="4" fill="none" stroke-linecap="round"/>`),
  },
];

export const PEOPLE = [
  { label: "Lan, in a hurry", name: "Nguyễn Thị Lan", email: "  Lan.Nguyen@Example.com ", phone: "0912 345 678" },
  { label: "Lan, tidily", name: "Nguyễn Thị Lan", email: "lan.nguyen@example.com", phone: "+84912345678" },
  { label: "Minh", name: "Trần Quang Minh", email: "Minh.Tran@Example.com", phone: "0987.654.321" },
];

export function dong(amount) {
  return `${new Intl.NumberFormat("vi-VN").format(amount)} ₫`;
}
