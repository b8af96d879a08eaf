package generator

import (
	"strconv"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// Profile is where payments are made.
type Profile string

const (
	Europe Profile = "europe" // amounts in euro and cents, terminals by number: the published model
	Korea  Profile = "korea"  // amounts in won, which has no decimals, and terminals called by Korean merchants
)

// profiles say how many units of a currency stand for one of the published model, and the least amount that is paid, in hundredths
// of a unit.
var profiles = map[Profile]struct{ unit, least int64 }{
	Europe: {unit: 1, least: 1},
	Korea:  {unit: 1450, least: 100_00}, // 100 won
}

// Unit is how many units of the currency stand for one of the published model: amounts of rules are to be multiplied by it.
func (p Profile) Unit() int64 { return profiles[p].unit }

// amount turns cents of the published model into the currency, rounded to what is paid.
func (p Profile) amount(cents int64) payment.Cents {
	of := profiles[p]
	return payment.Cents((cents*of.unit + of.least/2) / of.least * of.least)
}

// The parts of Korean merchants' names: kinds of shops, and places. They are made up.
var (
	koreanShops = []string{
		"새벽편의점", "한빛마트", "다온카페", "우리분식", "별빛치킨", "미소약국", "하늘주유소", "온누리서점", "가람문구", "푸른식당",
		"바다횟집", "솔향한의원", "나래미용실", "해오름빵집", "초록세탁소", "구름전자", "달빛노래방", "참좋은정육점", "은하안경", "소담꽃집",
	}
	koreanPlaces = []string{
		"강남", "서초", "종로", "마포", "송파", "성수", "홍대", "분당", "일산", "수원", "인천", "대전", "유성", "대구", "수성", "부산", "해운대", "광주",
		"전주", "청주", "춘천", "강릉", "울산", "창원", "제주",
	}
)

// terminals are the names of n terminals, all different.
func (p Profile) terminals(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
		if p == Korea {
			shops, places := len(koreanShops), len(koreanPlaces)
			names[i] = koreanShops[i%shops] + " " + koreanPlaces[i/shops%places] + strconv.Itoa(i/(shops*places)+1) + "호점"
		}
	}
	return names
}
